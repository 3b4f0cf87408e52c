//! Make the bindings of the prebuilt llama.cpp's headers and link its shared libraries.
//!
//! Environment: `LLAMA_CPP_INCLUDE` (folders with llama.h and gguf.h, ':' between them), `LLAMA_CPP_LIBRARIES` (one
//! folder), `LLAMA_CPP_LINK` (names of libraries, ',' between them); `LLAMA_CPP_LIBRARIES_SHA256` is not read, but a
//! new value of it builds anew.

use std::env;
use std::path::{Path, PathBuf};

const VARIABLES: [&str; 4] =
    ["LLAMA_CPP_INCLUDE", "LLAMA_CPP_LIBRARIES", "LLAMA_CPP_LINK", "LLAMA_CPP_LIBRARIES_SHA256"];

fn main() {
    for variable in VARIABLES {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    let includes = require("LLAMA_CPP_INCLUDE", "the folders with llama.h and gguf.h, with ':' between them");
    write_bindings(&env::split_paths(&includes).collect::<Vec<_>>());
    link_libraries();
}

fn require(variable: &str, meaning: &str) -> String {
    match env::var(variable) {
        Ok(value) if !value.trim().is_empty() => value,
        _ => panic!("The environment variable {variable} must name {meaning}."),
    }
}

fn include_headers(folders: &[PathBuf]) -> String {
    ["llama.h", "gguf.h"].map(|name| format!("#include \"{}\"\n", find_header(folders, name))).concat()
}

fn find_header(folders: &[PathBuf], name: &str) -> String {
    let found = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    let path = found.unwrap_or_else(|| panic!("No folder of LLAMA_CPP_INCLUDE has the header {name}."));
    println!("cargo:rerun-if-changed={}", path.display());
    path.display().to_string()
}

/// The settings are those of the crate that this one stands in for: llama-cpp-2 was written against their result.
fn write_bindings(folders: &[PathBuf]) {
    let bindings = bindgen::Builder::default()
        .header_contents("wrapper.h", &include_headers(folders))
        .clang_args(folders.iter().map(|folder| format!("-I{}", folder.display())))
        .derive_partialeq(true)
        .allowlist_item("ggml_.*")
        .allowlist_item("gguf_.*")
        .allowlist_item("llama_.*")
        .allowlist_recursively(false)
        .raw_line("type FILE = ::std::os::raw::c_void;")
        .prepend_enum_name(false)
        .layout_tests(false)
        .formatter(bindgen::Formatter::None)
        .generate()
        .expect("bindgen must understand the headers of LLAMA_CPP_INCLUDE; its complaints stand above.");
    let target = PathBuf::from(require("OUT_DIR", "cargo's output folder")).join("bindings.rs");
    bindings.write_to_file(target).expect("The bindings must be written to OUT_DIR.");
}

fn link_libraries() {
    let folder = require("LLAMA_CPP_LIBRARIES", "the folder of llama.cpp's shared libraries");
    let names = require("LLAMA_CPP_LINK", "the libraries to link, with ',' between them");
    assert!(Path::new(&folder).is_dir(), "LLAMA_CPP_LIBRARIES must be a folder, and {folder} is none.");
    println!("cargo:rustc-link-search=native={folder}");
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        println!("cargo:rustc-link-lib=dylib={name}");
    }
}
