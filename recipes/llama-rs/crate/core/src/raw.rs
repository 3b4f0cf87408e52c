//! All that is unsafe: the parts of llama.cpp that llama-cpp-2 has no safe function for.
//!
//! llama-cpp-2 keeps its pointers to itself and has neither `use_extra_bufts` nor an abort callback nor thread pools, so
//! the model is loaded and the context is owned here. Rules of this file: a pointer from llama.cpp is checked for null
//! before it is kept, what is handed to llama.cpp outlives the call, and no C++ exception may be provoked (it would end
//! the process), which is why ranges are checked before a call.
#![allow(unsafe_code)]

use std::ffi::{c_void, CStr, CString};
use std::os::raw::c_char;
use std::panic::catch_unwind;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2 as sys;
use llama_rs_logic::error::{Error, Result};
use llama_rs_logic::settings::{ModelSettings, Override};
use llama_rs_logic::{cancel, log};

mod context;
mod pool;

pub use context::{Context, DecodeError, Outputs};

// `LlamaModel` is `repr(transparent)` around a `NonNull`; the version is pinned in Cargo.toml, and a change of the size
// would end the build here.
const _: () = assert!(size_of::<LlamaModel>() == size_of::<NonNull<sys::llama_model>>());
const _: () = assert!(align_of::<LlamaModel>() == align_of::<NonNull<sys::llama_model>>());

unsafe extern "C" fn receive_log(level: sys::ggml_log_level, text: *const c_char, _data: *mut c_void) {
    if !text.is_null() {
        // SAFETY: llama.cpp passes a text that ends with a zero byte and lives for the call.
        let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
        // a panic must not go through C++
        let _ = catch_unwind(|| log::receive(level, &text));
    }
}

unsafe extern "C" fn should_abort(_data: *mut c_void) -> bool {
    catch_unwind(cancel::is_requested).unwrap_or(true)
}

unsafe extern "C" fn should_load_on(_progress: f32, _data: *mut c_void) -> bool {
    catch_unwind(|| !cancel::is_requested()).unwrap_or(false)
}

/// Start llama.cpp once for the process, with its log in our hands.
pub fn start_backend() -> Result<()> {
    static BACKEND: OnceLock<Option<LlamaBackend>> = OnceLock::new();
    let backend = BACKEND.get_or_init(|| {
        // SAFETY: the callback is a function of this library, which is never unloaded, and needs no data.
        unsafe { sys::llama_log_set(Some(receive_log), ptr::null_mut()) };
        LlamaBackend::init().ok()
    });
    backend.as_ref().map(|_| ()).ok_or_else(|| Error::engine("llama.cpp was started before by someone else"))
}

/// What llama.cpp says about the CPU and its own build.
///
/// # Errors
///
/// When llama.cpp cannot be started.
pub fn system_info() -> Result<String> {
    start_backend()?;
    // SAFETY: the text is a static of llama.cpp that ends with a zero byte.
    Ok(unsafe { CStr::from_ptr(sys::llama_print_system_info()) }.to_string_lossy().into_owned())
}

/// Load a model; None where llama.cpp refused it, with the reason in the log.
pub fn load_model(path: &Path, settings: &ModelSettings) -> Result<Option<LlamaModel>> {
    use std::os::unix::ffi::OsStrExt;
    let path =
        CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::value("the path of the model has a zero byte"))?;
    let overrides = write_overrides(&settings.kv_overrides);
    // SAFETY: returns a structure by value.
    let mut params = unsafe { sys::llama_model_default_params() };
    params.vocab_only = settings.vocab_only;
    params.check_tensors = settings.check_tensors;
    params.use_extra_bufts = settings.use_extra_bufts;
    params.load_mode = match (settings.use_mmap, settings.use_mlock) {
        (true, true) => sys::LLAMA_LOAD_MODE_MMAP_MLOCK,
        (true, false) => sys::LLAMA_LOAD_MODE_MMAP,
        (false, true) => sys::LLAMA_LOAD_MODE_MLOCK,
        (false, false) => sys::LLAMA_LOAD_MODE_NONE,
    };
    params.progress_callback = Some(should_load_on);
    if !settings.kv_overrides.is_empty() {
        params.kv_overrides = overrides.as_ptr();
    }
    // SAFETY: path and overrides live until the call returns; llama.cpp copies what it keeps.
    let pointer = NonNull::new(unsafe { sys::llama_model_load_from_file(path.as_ptr(), params) });
    // SAFETY: the layouts are the same (see the assertions above) and the pointer is one that LlamaModel's drop, which
    // calls llama_free_model, may free once.
    Ok(pointer.map(|pointer| unsafe { std::mem::transmute::<NonNull<sys::llama_model>, LlamaModel>(pointer) }))
}

fn write_overrides(overrides: &[(String, Override)]) -> Vec<sys::llama_model_kv_override> {
    // SAFETY: plain C data, for which all zeros is a value; the last one stays so and ends the list.
    let zero: sys::llama_model_kv_override = unsafe { std::mem::zeroed() };
    let mut list = vec![zero; overrides.len() + 1];
    for (target, (key, value)) in list.iter_mut().zip(overrides) {
        copy_text(&mut target.key, key);
        match value {
            Override::Int(number) => {
                target.tag = sys::LLAMA_KV_OVERRIDE_TYPE_INT;
                target.__bindgen_anon_1.val_i64 = *number;
            }
            Override::Float(number) => {
                target.tag = sys::LLAMA_KV_OVERRIDE_TYPE_FLOAT;
                target.__bindgen_anon_1.val_f64 = *number;
            }
            Override::Bool(truth) => {
                target.tag = sys::LLAMA_KV_OVERRIDE_TYPE_BOOL;
                target.__bindgen_anon_1.val_bool = *truth;
            }
            Override::Text(text) => {
                target.tag = sys::LLAMA_KV_OVERRIDE_TYPE_STR;
                let mut bytes = [0; 128];
                copy_text(&mut bytes, text);
                target.__bindgen_anon_1.val_str = bytes;
            }
        }
    }
    list
}

fn copy_text(target: &mut [c_char; 128], text: &str) {
    // one byte remains for the zero; settings.rs has checked the length, so nothing is cut
    for (target, byte) in target[..127].iter_mut().zip(text.bytes()) {
        *target = byte as c_char;
    }
}

fn model_pointer(model: &LlamaModel) -> *mut sys::llama_model {
    // SAFETY: the layouts are the same, see the assertions above.
    unsafe { *ptr::from_ref(model).cast::<*mut sys::llama_model>() }
}

/// Facts of a model that llama-cpp-2 does not give.
#[allow(clippy::struct_excessive_bools)]
pub struct ModelFacts {
    pub n_swa: i32,
    pub n_head_kv: i32,
    pub n_embd_out: i32,
    pub n_cls_out: u32,
    pub is_recurrent: bool,
    pub is_hybrid: bool,
    pub has_encoder: bool,
    pub has_decoder: bool,
    pub vocab_type: u32,
}

/// Read the facts of a model.
pub fn read_facts(model: &LlamaModel) -> ModelFacts {
    let pointer = model_pointer(model);
    // SAFETY: the model is alive, and these functions only read it; its vocabulary is never null.
    unsafe {
        ModelFacts {
            n_swa: sys::llama_model_n_swa(pointer),
            // for a model without layers, as vocab_only leaves it, llama.cpp ends the process
            n_head_kv: if sys::llama_model_n_layer(pointer) > 0 { sys::llama_model_n_head_kv(pointer) } else { 0 },
            n_embd_out: sys::llama_model_n_embd_out(pointer),
            n_cls_out: sys::llama_model_n_cls_out(pointer),
            is_recurrent: sys::llama_model_is_recurrent(pointer),
            is_hybrid: sys::llama_model_is_hybrid(pointer),
            has_encoder: sys::llama_model_has_encoder(pointer),
            has_decoder: sys::llama_model_has_decoder(pointer),
            vocab_type: sys::llama_vocab_type(sys::llama_model_get_vocab(pointer)),
        }
    }
}
