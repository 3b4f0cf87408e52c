//! The handle of an engine: what other threads hold while the worker has the sequence.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llama_rs_logic::cancel::Flag;
use llama_rs_logic::error::{Error, Result};
use llama_rs_logic::sampling::Sampling;
use llama_rs_logic::settings::{ContextSettings, ModelSettings};

use crate::choose::Chooser;
use crate::completion::{Completion, Options, Part};
use crate::load::{load, Loaded};
use crate::sequence::{Bench, Sequence};
use crate::vocabulary::{self, check_tokens};
use crate::worker::{self, Job, Pending};

/// A model with its context behind one thread.
pub struct Engine {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    jobs: Mutex<Option<Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    closing: Flag,
    pub(crate) model: RwLock<Option<Arc<LlamaModel>>>,
    pub(crate) loaded: OnceLock<Loaded>,
    n_tokens: AtomicUsize,
    /// Threads do not live on in a forked process, so there nothing answers.
    process: u32,
}

/// The parts of a completion that runs in the worker. Dropping it cancels the rest.
pub struct Stream {
    parts: Pending<Part>,
    // the worker must live until the last part was sent
    _engine: Arc<Shared>,
}

impl Stream {
    /// Wait at most this long for the next part; None when it takes longer.
    #[must_use]
    pub fn wait(&self, patience: Duration) -> Option<Result<Part>> {
        self.parts.wait(patience)
    }

    /// Cancel what is left.
    pub fn cancel(&self) {
        self.parts.cancel();
    }

    /// Say whether the worker has come to it.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.parts.has_begun()
    }
}

impl Engine {
    /// Begin to load a model; the pending result says how it went.
    pub fn load(path: PathBuf, model: ModelSettings, context: ContextSettings) -> Result<(Self, Pending<()>)> {
        if path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(Error::value("the path of the model has a zero byte"));
        }
        model.check_bounds()?;
        context.check()?;
        let context = context.fit_sizes();
        let (loaded, command, pending) = Pending::new();
        let shared = Arc::new(Shared {
            jobs: Mutex::new(None),
            thread: Mutex::new(None),
            closing: Arc::new(AtomicBool::new(false)),
            model: RwLock::new(None),
            loaded: OnceLock::new(),
            n_tokens: AtomicUsize::new(0),
            process: std::process::id(),
        });
        // the thread must not keep its own handle alive
        let weak = Arc::downgrade(&shared);
        let work = move || {
            let (sequence, facts) = load(&path, &model, context)?;
            let shared = weak.upgrade().ok_or(Error::Cancelled)?;
            *shared.model.write().unwrap_or_else(PoisonError::into_inner) = Some(sequence.model.clone());
            let _ = shared.loaded.set(facts);
            Ok(sequence)
        };
        let (sender, thread) = worker::start(shared.closing.clone(), work, loaded, command)?;
        *lock(&shared.jobs) = Some(sender);
        *lock(&shared.thread) = Some(thread);
        Ok((Self { shared }, pending))
    }

    /// Free context, model and thread, and stop what runs; a second call does nothing.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Say whether `close` was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.closing.load(Ordering::Relaxed)
    }

    /// What was loaded.
    pub fn loaded(&self) -> Result<&Loaded> {
        self.model()?;
        self.shared.loaded.get().ok_or_else(Error::closed)
    }

    fn model(&self) -> Result<Arc<LlamaModel>> {
        if self.is_closed() {
            return Err(Error::closed());
        }
        self.shared.model.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(Error::closed)
    }

    /// Send work to the thread.
    fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Sequence) -> Result<T> + Send + 'static,
    ) -> Result<Pending<T>> {
        let (reply, command, pending) = Pending::new();
        let closing = self.shared.closing.clone();
        let counter = Arc::downgrade(&self.shared);
        self.shared.send(Box::new(move |sequence| {
            let result = worker::work(sequence, &command, &closing, job);
            if let Some(shared) = counter.upgrade() {
                shared.n_tokens.store(sequence.tokens().len(), Ordering::Relaxed);
            }
            let _ = reply.send(result);
        }))?;
        Ok(pending)
    }

    /// Say whether a token ends generation.
    pub fn is_eog(&self, token: i32) -> Result<bool> {
        let model = self.model()?;
        check_tokens(&[token], model.vocab().n_tokens())?;
        Ok(model.vocab().is_eog(LlamaToken(token)))
    }

    /// Turn text into tokens, on this thread: a vocabulary may be read while the worker works.
    pub fn tokenize(&self, text: &[u8], add_special: bool, parse_special: bool) -> Result<Vec<i32>> {
        vocabulary::tokenize(&*self.model()?, text, add_special, parse_special)
    }

    /// Turn a long text into tokens, so that the caller need not wait for the end of it.
    pub fn tokenize_in_worker(
        &self,
        text: Vec<u8>,
        add_special: bool,
        parse_special: bool,
    ) -> Result<Pending<Vec<i32>>> {
        self.run(move |sequence| vocabulary::tokenize(&sequence.model, &text, add_special, parse_special))
    }

    /// Join the pieces of tokens, on this thread.
    pub fn detokenize(&self, tokens: &[i32], remove_special: bool, unparse_special: bool) -> Result<Vec<u8>> {
        vocabulary::detokenize(&*self.model()?, tokens, remove_special, unparse_special)
    }

    /// How many tokens the context had after the last call that ended.
    pub fn n_tokens(&self) -> Result<usize> {
        self.model()?;
        Ok(self.shared.n_tokens.load(Ordering::Relaxed))
    }

    /// The numbers of threads, for one token and for batches.
    pub fn n_threads(&self) -> Result<Pending<(i32, i32)>> {
        self.run(|sequence| Ok(sequence.n_threads()))
    }

    /// The tokens in the context.
    pub fn input_ids(&self) -> Result<Pending<Vec<i32>>> {
        self.run(|sequence| Ok(sequence.tokens().to_vec()))
    }

    /// Forget all tokens.
    pub fn reset(&self) -> Result<Pending<()>> {
        self.run(Sequence::reset)
    }

    /// Decode tokens after those in the context.
    pub fn eval(&self, tokens: Vec<i32>) -> Result<Pending<()>> {
        self.run(move |sequence| sequence.eval(&tokens))
    }

    /// Forget the tokens from a position on.
    pub fn truncate(&self, length: usize) -> Result<Pending<()>> {
        self.run(move |sequence| sequence.truncate(length))
    }

    /// The logits after a position, as little-endian bytes.
    pub fn logits(&self, position: i64) -> Result<Pending<Vec<u8>>> {
        self.run(move |sequence| Ok(sequence.logits(position)?.iter().flat_map(|logit| logit.to_le_bytes()).collect()))
    }

    /// Choose a token after the last one.
    pub fn sample(&self, sampling: Sampling) -> Result<Pending<i32>> {
        self.run(move |sequence| sequence.sample(sampling))
    }

    /// Compute embeddings.
    pub fn embed(&self, inputs: Vec<Vec<i32>>) -> Result<Pending<Vec<Vec<Vec<f32>>>>> {
        self.run(move |sequence| sequence.embed(&inputs))
    }

    /// Copy the state out.
    pub fn save_state(&self) -> Result<Pending<Vec<u8>>> {
        self.run(Sequence::save_state)
    }

    /// Put a state back.
    pub fn load_state(&self, state: Vec<u8>, tokens: Vec<i32>) -> Result<Pending<()>> {
        self.run(move |sequence| sequence.load_state(&state, &tokens))
    }

    /// Change the numbers of threads.
    pub fn set_threads(&self, n_threads: i64, n_threads_batch: i64) -> Result<Pending<()>> {
        self.run(move |sequence| sequence.set_threads(n_threads, n_threads_batch))
    }

    /// Time one pass without sampling.
    pub fn bench(&self, n_prompt: usize, n_gen: usize) -> Result<Pending<Bench>> {
        self.run(move |sequence| sequence.bench(n_prompt, n_gen))
    }

    /// Check a completion on this thread, so that what is wrong with it is said at once.
    fn prepare(&self, prompt: Vec<i32>, sampling: &Sampling, options: Options) -> Result<Completion> {
        let called = Instant::now();
        let model = self.model()?;
        check_tokens(&prompt, model.vocab().n_tokens())?;
        let n_ctx = self.loaded()?.sizes.map_or(0, |(sizes, _)| sizes[0]);
        Ok(Completion { prompt, chooser: Chooser::new(&model, sampling, n_ctx)?, options, called })
    }

    /// Complete a prompt and return all of it.
    pub fn complete(&self, prompt: Vec<i32>, sampling: &Sampling, options: Options) -> Result<Pending<Part>> {
        let completion = self.prepare(prompt, sampling, Options { group: None, ..options })?;
        self.run(move |sequence| {
            let mut whole = None;
            completion.run(sequence, |part| {
                whole = Some(part);
                true
            })?;
            whole.ok_or_else(|| Error::engine("the completion has no end"))
        })
    }

    /// Begin a completion whose parts are read while it runs.
    pub fn stream(&self, prompt: Vec<i32>, sampling: &Sampling, options: Options) -> Result<Stream> {
        let completion = self.prepare(prompt, sampling, options)?;
        let (sender, command, parts) = Pending::new();
        let closing = self.shared.closing.clone();
        let counter = Arc::downgrade(&self.shared);
        self.shared.send(Box::new(move |sequence| {
            let parts = sender.clone();
            let run = |sequence: &mut Sequence| completion.run(sequence, |part| parts.send(Ok(part)).is_ok());
            let result = worker::work(sequence, &command, &closing, run);
            if let Some(shared) = counter.upgrade() {
                shared.n_tokens.store(sequence.tokens().len(), Ordering::Relaxed);
            }
            if let Err(error) = result {
                let _ = sender.send(Err(error));
            }
        }))?;
        Ok(Stream { parts, _engine: self.shared.clone() })
    }
}

impl Shared {
    fn send(&self, job: Job) -> Result<()> {
        if self.process != std::process::id() {
            return Err(Error::engine("the model was loaded before this process was forked; load it again here"));
        }
        let jobs = lock(&self.jobs);
        let sender = jobs.as_ref().filter(|_| !self.closing.load(Ordering::Relaxed)).ok_or_else(Error::closed)?;
        sender.send(job).map_err(|_| Error::closed())
    }

    fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        if self.process != std::process::id() {
            // there is no thread to wait for
            std::mem::forget(lock(&self.jobs).take());
            std::mem::forget(lock(&self.thread).take());
            return;
        }
        lock(&self.jobs).take();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
        self.model.write().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
