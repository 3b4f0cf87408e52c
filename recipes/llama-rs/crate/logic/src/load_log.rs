//! What llama.cpp logged as it loaded, read back: the settings it took, as far as no function returns them.

/// The settings that the log names; None where it said nothing about one.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct LoadFacts {
    pub flash_attn: Option<String>,
    pub type_k: Option<String>,
    pub type_v: Option<String>,
    pub rope_freq_base: Option<f64>,
    pub rope_freq_scale: Option<f64>,
    pub rope_scaling: Option<String>,
    pub yarn_orig_ctx: Option<u32>,
    pub use_mmap: Option<bool>,
}

impl LoadFacts {
    /// Read a log.
    #[must_use]
    pub fn read(log: &str) -> Self {
        let load_mode = find_between(log, "(load_mode = ", ")");
        Self {
            flash_attn: find_assigned(log, "flash_attn"),
            type_k: find_between(log, ", K (", ")"),
            type_v: find_between(log, ", V (", ")"),
            rope_freq_base: find_assigned(log, "freq_base").and_then(|text| text.parse().ok()),
            rope_freq_scale: find_assigned(log, "freq_scale").and_then(|text| text.parse().ok()),
            rope_scaling: find_assigned(log, "rope scaling"),
            yarn_orig_ctx: find_assigned(log, "n_ctx_orig_yarn").and_then(|text| text.parse().ok()),
            use_mmap: load_mode.map(|mode| mode.contains("mmap")),
        }
    }
}

/// The value in the last line of the form `function: name = value`.
fn find_assigned(log: &str, name: &str) -> Option<String> {
    log.lines().rev().find_map(|line| {
        let (before, value) = line.split_once(" = ")?;
        let (_, found) = before.rsplit_once(": ")?;
        (found.trim() == name).then(|| value.trim().to_owned())
    })
}

fn find_between(log: &str, before: &str, after: &str) -> Option<String> {
    let (_, rest) = log.rsplit_once(before)?;
    Some(rest.split_once(after)?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read() {
        let log = "print_info: rope scaling          = linear\n\
                   print_info: freq_base_train       = 100000.0\n\
                   print_info: n_ctx_orig_yarn       = 8192\n\
                   load_tensors: loading model tensors, this can take a while... (load_mode = mmap)\n\
                   llama_context: flash_attn            = disabled\n\
                   llama_context: freq_base             = 10000.0\n\
                   llama_context: freq_scale            = 0.5\n\
                   llama_kv_cache: size = 1.00 MiB (512 cells, 2 layers, 1/1 seqs), K (f16): 1.0 MiB, V (q8_0): 1.0 MiB\n";
        let facts = LoadFacts::read(log);
        assert_eq!(facts.flash_attn.as_deref(), Some("disabled"));
        assert_eq!((facts.type_k.as_deref(), facts.type_v.as_deref()), (Some("f16"), Some("q8_0")));
        assert_eq!((facts.rope_freq_base, facts.rope_freq_scale), (Some(10000.0), Some(0.5)));
        assert_eq!((facts.rope_scaling.as_deref(), facts.yarn_orig_ctx), (Some("linear"), Some(8192)));
        assert_eq!(facts.use_mmap, Some(true));
        assert_eq!(LoadFacts::read(""), LoadFacts::default());
    }
}
