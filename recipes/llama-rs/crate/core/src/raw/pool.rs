//! Thread pools of ggml, for pinning and polling.

use std::ffi::{c_void, CStr};
use std::ptr::NonNull;

use llama_cpp_sys_2 as sys;
use llama_rs_logic::error::{Error, Result};

// settings.rs allows CPUs up to 511
const _: () = assert!(size_of::<sys::ggml_threadpool_params>() > 512);

type NewPool = unsafe extern "C" fn(*mut sys::ggml_threadpool_params) -> sys::ggml_threadpool_t;
type FreePool = unsafe extern "C" fn(sys::ggml_threadpool_t);

/// Threads of ggml's CPU backend that stay between calls.
pub struct ThreadPool {
    pub pointer: NonNull<sys::ggml_threadpool>,
    free: FreePool,
}

impl ThreadPool {
    /// Make a pool; `cpus` may be empty for any, `poll` is how long idle threads spin.
    pub fn new(n_threads: i32, cpus: &[i64], poll: Option<i64>) -> Result<Self> {
        let (new, free) =
            find_pool_functions().ok_or_else(|| Error::engine("ggml's CPU backend has no thread pools"))?;
        // SAFETY: returns a structure by value.
        let mut params = unsafe { sys::ggml_threadpool_params_default(n_threads) };
        for &cpu in cpus {
            params.cpumask[cpu as usize] = true;
        }
        if let Some(poll) = poll {
            params.poll = poll as u32;
        }
        // SAFETY: ggml copies the structure.
        let pointer = NonNull::new(unsafe { new(&raw mut params) });
        Ok(Self { pointer: pointer.ok_or_else(|| Error::engine("ggml made no thread pool"))?, free })
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        // SAFETY: `Context` detaches its pools before it drops them, so nothing uses this one any more.
        unsafe { (self.free)(self.pointer.as_ptr()) }
    }
}

/// The CPU backend is a module that is loaded at run time and must not be linked, so its functions are asked for.
fn find_pool_functions() -> Option<(NewPool, FreePool)> {
    // SAFETY: the registry is asked with names that end with a zero byte; null is checked.
    let registry = NonNull::new(unsafe { sys::ggml_backend_reg_by_name(c"CPU".as_ptr()) })?;
    // SAFETY: as before.
    let find = |name: &CStr| unsafe { sys::ggml_backend_reg_get_proc_address(registry.as_ptr(), name.as_ptr()) };
    let (new, free) = (NonNull::new(find(c"ggml_threadpool_new"))?, NonNull::new(find(c"ggml_threadpool_free"))?);
    // SAFETY: under these names ggml-cpu.h declares functions of these types.
    Some(unsafe {
        (std::mem::transmute::<NonNull<c_void>, NewPool>(new), std::mem::transmute::<NonNull<c_void>, FreePool>(free))
    })
}
