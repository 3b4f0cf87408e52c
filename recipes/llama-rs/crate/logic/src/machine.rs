//! What this machine has: memory, and CPUs that the process may use.

use std::fs;

/// The physical memory in bytes; None where the kernel does not say.
pub fn physical_memory() -> Option<u64> {
    read_memory(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn read_memory(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The numbers of the CPUs that this process may use; None where the kernel does not say.
pub fn allowed_cpus() -> Option<Vec<usize>> {
    read_cpus(&fs::read_to_string("/proc/self/status").ok()?)
}

fn read_cpus(text: &str) -> Option<Vec<usize>> {
    let list = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut cpus = Vec::new();
    for range in list.trim().split(',') {
        let (first, end) = range.split_once('-').unwrap_or((range, range));
        cpus.extend(first.parse::<usize>().ok()?..=end.parse::<usize>().ok()?);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_understood() {
        assert_eq!(read_memory("MemTotal:       24673272 kB\nMemFree: 1 kB\n"), Some(24_673_272 * 1024));
        assert_eq!(read_cpus("Name:\tx\nCpus_allowed_list:\t0,2-4\n"), Some(vec![0, 2, 3, 4]));
        assert_eq!(read_cpus("Name:\tx\n"), None);
    }
}
