//! A context that is owned here, because llama-cpp-2's has neither an abort callback nor thread pools.

use std::ptr::{self, NonNull};
use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2 as sys;
use llama_rs_logic::error::{Error, Result};
use llama_rs_logic::settings::{ContextSettings, PLAIN_TYPES, QUANTIZED_TYPES};

use super::pool::ThreadPool;
use super::{model_pointer, should_abort};

// settings.rs knows these types by their numbers, without llama.cpp's headers
const _: () = assert!(are(PLAIN_TYPES, [sys::GGML_TYPE_F32, sys::GGML_TYPE_F16, sys::GGML_TYPE_BF16]));
const _: () = assert!(are(
    QUANTIZED_TYPES,
    [
        sys::GGML_TYPE_Q4_0,
        sys::GGML_TYPE_Q4_1,
        sys::GGML_TYPE_Q5_0,
        sys::GGML_TYPE_Q5_1,
        sys::GGML_TYPE_Q8_0,
        sys::GGML_TYPE_IQ4_NL
    ]
));

const fn are<const N: usize>(numbers: [i64; N], types: [sys::ggml_type; N]) -> bool {
    let mut index = 0;
    while index < N {
        if numbers[index] != types[index] as i64 {
            return false;
        }
        index += 1;
    }
    true
}

/// Which positions of a batch llama.cpp computes logits (or embeddings) for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    None,
    Last,
    All,
}

/// Why `decode` failed; the context's memory may then hold a part of the batch.
#[derive(Debug, PartialEq, Eq)]
pub enum DecodeError {
    NoRoom,
    Aborted,
    Refused(i32),
}

/// A context of llama.cpp for one sequence, owned by the thread that made it.
pub struct Context {
    pointer: NonNull<sys::llama_context>,
    batch: Batch,
    // in this order: the context is freed first, by drop, then its threads, then the model
    pools: Vec<ThreadPool>,
    _model: Arc<LlamaModel>,
    n_vocab: usize,
}

/// The arrays of a `llama_batch`, made once.
struct Batch {
    positions: Vec<i32>,
    counts: Vec<i32>,
    sequences: Vec<*mut i32>,
    outputs: Vec<i8>,
    sequence: Box<i32>,
}

impl Batch {
    fn new(capacity: usize) -> Self {
        let mut sequence = Box::new(0);
        let sequences = vec![&raw mut *sequence; capacity];
        Self {
            positions: vec![0; capacity],
            counts: vec![1; capacity],
            sequences,
            outputs: vec![0; capacity],
            sequence,
        }
    }

    fn fill(&mut self, tokens: &mut [i32], start: usize, outputs: Outputs) -> sys::llama_batch {
        assert!(!tokens.is_empty() && tokens.len() <= self.positions.len(), "a batch has from one to n_batch tokens");
        debug_assert_eq!(*self.sequence, 0);
        for (index, position) in self.positions[..tokens.len()].iter_mut().enumerate() {
            *position = (start + index) as i32;
        }
        self.outputs[..tokens.len()].fill(i8::from(outputs == Outputs::All));
        self.outputs[tokens.len() - 1] = i8::from(outputs != Outputs::None);
        sys::llama_batch {
            n_tokens: tokens.len() as i32,
            token: tokens.as_mut_ptr(),
            embd: ptr::null_mut(),
            pos: self.positions.as_mut_ptr(),
            n_seq_id: self.counts.as_mut_ptr(),
            seq_id: self.sequences.as_mut_ptr(),
            logits: self.outputs.as_mut_ptr(),
        }
    }
}

impl Context {
    /// Make a context; None where llama.cpp refused it, with the reason in the log.
    pub fn new(model: &Arc<LlamaModel>, settings: &ContextSettings) -> Result<Option<Self>> {
        let params = write_params(settings);
        // SAFETY: the model is alive and stays so, because the context keeps an Arc of it.
        let Some(pointer) = NonNull::new(unsafe { sys::llama_init_from_model(model_pointer(model), params) }) else {
            return Ok(None);
        };
        let mut context = Self {
            pointer,
            batch: Batch::new(0),
            pools: Vec::new(),
            _model: model.clone(),
            n_vocab: model.vocab().n_tokens().max(0) as usize,
        };
        context.batch = Batch::new(context.n_batch());
        // The backend keeps threads of its own; only what is asked for of them needs others.
        if !settings.cpus.is_empty() || settings.poll.is_some() {
            context.set_pools(settings)?;
        }
        Ok(Some(context))
    }

    /// Replace the thread pools by ones of these numbers of threads.
    fn set_pools(&mut self, settings: &ContextSettings) -> Result<()> {
        let mut pools = vec![ThreadPool::new(settings.n_threads as i32, &settings.cpus, settings.poll)?];
        if settings.n_threads_batch != settings.n_threads {
            pools.push(ThreadPool::new(settings.n_threads_batch as i32, &settings.cpus, settings.poll)?);
        }
        let last = pools[pools.len() - 1].pointer.as_ptr();
        // SAFETY: the pools live as long as the context or until they are replaced here; the old ones are dropped below,
        // after the context has been given the new ones.
        unsafe { sys::llama_attach_threadpool(self.pointer.as_ptr(), pools[0].pointer.as_ptr(), last) };
        self.pools = pools;
        Ok(())
    }

    /// Change the numbers of threads; `settings` has the new ones.
    pub fn set_threads(&mut self, settings: &ContextSettings) -> Result<()> {
        if !self.pools.is_empty() {
            self.set_pools(settings)?;
        }
        let (one, batch) = (settings.n_threads as i32, settings.n_threads_batch as i32);
        // SAFETY: the context is alive.
        unsafe { sys::llama_set_n_threads(self.pointer.as_ptr(), one, batch) };
        Ok(())
    }

    /// Compute tokens that stand at the positions from `start` on; at most `n_batch` of them, all of the vocabulary.
    pub fn decode(&mut self, tokens: &[i32], start: usize, outputs: Outputs) -> std::result::Result<(), DecodeError> {
        let in_range = |token: &i32| (0..self.n_vocab as i64).contains(&i64::from(*token));
        assert!(tokens.iter().all(in_range), "tokens have been checked before");
        // llama_batch has no const
        let mut tokens = tokens.to_vec();
        let batch = self.batch.fill(&mut tokens, start, outputs);
        // SAFETY: all arrays of the batch have n_tokens elements and outlive the call.
        match unsafe { sys::llama_decode(self.pointer.as_ptr(), batch) } {
            0 => Ok(()),
            1 => Err(DecodeError::NoRoom),
            2 => Err(DecodeError::Aborted),
            code => Err(DecodeError::Refused(code)),
        }
    }

    /// The logits of the output `index` of the last batch, one for each token of the vocabulary; a negative index counts from the end.
    pub fn logits(&self, index: i32) -> Option<&[f32]> {
        // SAFETY: llama.cpp checks the index and returns null where there is no such output; otherwise n_vocab floats
        // that stay until the next call with &mut self.
        unsafe { read_floats(sys::llama_get_logits_ith(self.pointer.as_ptr(), index), self.n_vocab) }
    }

    /// The embedding of the output `index` of the last batch, `length` floats.
    pub fn token_embedding(&self, index: i32, length: usize) -> Option<&[f32]> {
        // SAFETY: as in `logits`; the caller knows n_embd_out.
        unsafe { read_floats(sys::llama_get_embeddings_ith(self.pointer.as_ptr(), index), length) }
    }

    /// The pooled embedding of the last batch, `length` floats.
    pub fn pooled_embedding(&self, length: usize) -> Option<&[f32]> {
        // SAFETY: as in `logits`; the caller knows n_embd_out and n_cls_out.
        unsafe { read_floats(sys::llama_get_embeddings_seq(self.pointer.as_ptr(), 0), length) }
    }

    /// Ask for embeddings instead of logits, or the other way round.
    pub fn set_embeddings(&mut self, embeddings: bool) {
        // SAFETY: the context is alive.
        unsafe { sys::llama_set_embeddings(self.pointer.as_ptr(), embeddings) }
    }

    fn memory(&self) -> Option<sys::llama_memory_t> {
        // SAFETY: the context is alive; a context without memory gives null.
        let memory = unsafe { sys::llama_get_memory(self.pointer.as_ptr()) };
        (!memory.is_null()).then_some(memory)
    }

    /// Say whether the context remembers what it has decoded; contexts of pure embedding models do not.
    pub fn has_memory(&self) -> bool {
        self.memory().is_some()
    }

    /// Forget everything; `data` fills the buffers with zeros besides.
    pub fn clear(&mut self, data: bool) {
        if let Some(memory) = self.memory() {
            // SAFETY: the memory belongs to the context, which is alive.
            unsafe { sys::llama_memory_clear(memory, data) }
        }
    }

    /// Forget the positions from `start` on; false where this kind of memory cannot.
    pub fn remove_from(&mut self, start: usize) -> bool {
        // SAFETY: as in `clear`; -1 is any sequence and the end.
        self.memory().is_none_or(|memory| unsafe { sys::llama_memory_seq_rm(memory, -1, start as i32, -1) })
    }

    /// The first and last position that the memory holds; -1 where it is empty.
    pub fn positions(&self) -> (i32, i32) {
        // SAFETY: as in `clear`.
        self.memory().map_or((-1, -1), |memory| unsafe {
            (sys::llama_memory_seq_pos_min(memory, 0), sys::llama_memory_seq_pos_max(memory, 0))
        })
    }

    /// Copy the state out; None where llama.cpp could not.
    pub fn read_state(&mut self) -> Result<Option<Vec<u8>>> {
        // SAFETY: the context is alive.
        let size = unsafe { sys::llama_state_get_size(self.pointer.as_ptr()) };
        let mut data = Vec::new();
        data.try_reserve_exact(size).map_err(|_| Error::Memory(format!("a state of {size} bytes")))?;
        data.resize(size, 0);
        // SAFETY: the buffer has `size` bytes, and llama.cpp writes no more.
        let written = unsafe { sys::llama_state_get_data(self.pointer.as_ptr(), data.as_mut_ptr(), size) };
        data.truncate(written);
        Ok((written > 0).then_some(data))
    }

    /// Put a state back that `read_state` gave; false where llama.cpp did not take all of it.
    pub fn write_state(&mut self, data: &[u8]) -> bool {
        // SAFETY: llama.cpp reads at most the length and returns 0 for what it does not understand.
        unsafe { sys::llama_state_set_data(self.pointer.as_ptr(), data.as_ptr(), data.len()) == data.len() }
    }

    /// The context size in tokens.
    pub fn n_ctx(&self) -> usize {
        // SAFETY: the context is alive; so in the functions that follow.
        unsafe { sys::llama_n_ctx(self.pointer.as_ptr()) as usize }
    }

    pub fn n_batch(&self) -> usize {
        // SAFETY: see n_ctx.
        unsafe { sys::llama_n_batch(self.pointer.as_ptr()) as usize }
    }

    pub fn n_ubatch(&self) -> usize {
        // SAFETY: see n_ctx.
        unsafe { sys::llama_n_ubatch(self.pointer.as_ptr()) as usize }
    }

    pub fn n_seq_max(&self) -> usize {
        // SAFETY: see n_ctx.
        unsafe { sys::llama_n_seq_max(self.pointer.as_ptr()) as usize }
    }

    /// The numbers of threads, for one token and for batches.
    pub fn n_threads(&self) -> (i32, i32) {
        // SAFETY: see n_ctx.
        unsafe { (sys::llama_n_threads(self.pointer.as_ptr()), sys::llama_n_threads_batch(self.pointer.as_ptr())) }
    }

    pub fn pooling_type(&self) -> i32 {
        // SAFETY: see n_ctx.
        unsafe { sys::llama_pooling_type(self.pointer.as_ptr()) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context is freed once, here; its pools and its model are dropped after it.
        unsafe {
            sys::llama_detach_threadpool(self.pointer.as_ptr());
            sys::llama_free(self.pointer.as_ptr());
        }
    }
}

/// Make a slice of what llama.cpp returned.
///
/// # Safety
///
/// The pointer is null or that of `length` floats that live and stay unchanged for `'a`.
unsafe fn read_floats<'a>(pointer: *const f32, length: usize) -> Option<&'a [f32]> {
    // SAFETY: as the caller has promised.
    (!pointer.is_null()).then(|| unsafe { std::slice::from_raw_parts(pointer, length) })
}

fn write_params(settings: &ContextSettings) -> sys::llama_context_params {
    // SAFETY: returns a structure by value.
    let mut params = unsafe { sys::llama_context_default_params() };
    params.n_ctx = settings.n_ctx as u32;
    params.n_batch = settings.n_batch as u32;
    params.n_ubatch = settings.n_ubatch as u32;
    params.n_threads = settings.n_threads as i32;
    params.n_threads_batch = settings.n_threads_batch as i32;
    params.rope_scaling_type = settings.rope_scaling_type.unwrap_or(-1) as sys::llama_rope_scaling_type;
    params.pooling_type = settings.pooling_type as sys::llama_pooling_type;
    params.attention_type = settings.attention_type as sys::llama_attention_type;
    params.flash_attn_type = settings.flash_attn.map_or(sys::LLAMA_FLASH_ATTN_TYPE_AUTO, i32::from);
    params.rope_freq_base = settings.rope_freq_base as f32;
    params.rope_freq_scale = settings.rope_freq_scale as f32;
    params.yarn_ext_factor = settings.yarn_ext_factor as f32;
    params.yarn_attn_factor = settings.yarn_attn_factor as f32;
    params.yarn_beta_fast = settings.yarn_beta_fast as f32;
    params.yarn_beta_slow = settings.yarn_beta_slow as f32;
    params.yarn_orig_ctx = settings.yarn_orig_ctx as u32;
    params.type_k = settings.type_k.map_or(params.type_k, |kind| kind.0 as sys::ggml_type);
    params.type_v = settings.type_v.map_or(params.type_v, |kind| kind.0 as sys::ggml_type);
    params.embeddings = settings.embedding;
    params.offload_kqv = settings.offload_kqv;
    params.no_perf = settings.no_perf;
    params.op_offload = settings.op_offload.unwrap_or(params.op_offload);
    params.swa_full = settings.swa_full.unwrap_or(params.swa_full);
    params.abort_callback = Some(should_abort);
    params
}
