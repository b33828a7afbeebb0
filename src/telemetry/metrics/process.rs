//! What the system says of this process, under the names that clients of Prometheus share. The library's own collector
//! counts whole seconds of processor time, too coarse for rates over a minute.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, IntGauge, Result};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// The fields of `/proc/self/stat` behind the name of the program (`man 5 proc_pid_stat`).
const THREADS: usize = 17;
const START_TIME: usize = 19;
const VIRTUAL_MEMORY: usize = 20;
const RESIDENT_PAGES: usize = 21;

/// The metrics of this process.
pub(super) struct Process {
    cpu: Counter,
    /// In the order of [`values`].
    gauges: [IntGauge; 6],
}

impl Process {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            cpu: cpu()?,
            gauges: [
                IntGauge::new("process_open_fds", "Number of open file descriptors.")?,
                IntGauge::new("process_max_fds", "Maximum number of open file descriptors.")?,
                IntGauge::new("process_threads", "Number of OS threads in the process.")?,
                IntGauge::new("process_virtual_memory_bytes", "Virtual memory size in bytes.")?,
                IntGauge::new("process_resident_memory_bytes", "Resident memory size in bytes.")?,
                IntGauge::new(
                    "process_start_time_seconds",
                    "Start time of the process since unix epoch in seconds.",
                )?,
            ],
        })
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = self.gauges.iter().flat_map(Collector::desc);
        self.cpu.desc().into_iter().chain(gauges).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = Vec::new();
        // A new counter each time: two pages at the same time add nothing twice.
        if let Ok(cpu) = cpu() {
            cpu.inc_by(cpu_seconds());
            families.extend(cpu.collect());
        }
        for (gauge, value) in self.gauges.iter().zip(values().into_iter().flatten()) {
            gauge.set(value);
            families.extend(gauge.collect());
        }
        families
    }
}

fn cpu() -> Result<Counter> {
    Counter::new(
        "process_cpu_seconds_total",
        "Total user and system CPU time spent in seconds.",
    )
}

/// The processor time of all threads of this process, those that ended included.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    std::time::Duration::try_from(time).unwrap_or_default().as_secs_f64()
}

/// Reads the values of the gauges. Returns `None` if `/proc` cannot be read.
fn values() -> Option<[i64; 6]> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<i64> = stat
        .rsplit(')')
        .next()?
        .split_ascii_whitespace()
        .map(|field| field.parse().unwrap_or_default())
        .collect();
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let boot = boot.lines().find_map(|line| line.strip_prefix("btime "))?;
    let ticks = i64::try_from(clock_ticks_per_second()).ok()?;
    let max_fds = getrlimit(Resource::Nofile).current;
    Some([
        i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?,
        max_fds.map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX)),
        *fields.get(THREADS)?,
        *fields.get(VIRTUAL_MEMORY)?,
        fields.get(RESIDENT_PAGES)? * i64::try_from(page_size()).ok()?,
        boot.trim().parse::<i64>().ok()? + fields.get(START_TIME)?.checked_div(ticks)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(process: &Process) -> f64 {
        let families = process.collect();
        let found: Vec<_> = families
            .iter()
            .filter(|family| family.name() == "process_cpu_seconds_total")
            .collect();
        assert_eq!(found.len(), 1);
        found[0].get_metric()[0].get_counter().get_value()
    }

    #[test]
    fn processor_time_has_fractions_of_a_second_and_never_shrinks() {
        let process = Process::new().unwrap();
        let mut times = vec![cpu(&process)];
        for _ in 0..20 {
            std::hint::black_box((0..10_000).sum::<u64>());
            times.push(cpu(&process));
        }
        assert!(times.is_sorted(), "{times:?}");
        assert!(times.iter().any(|time| time.fract() > 0.0), "{times:?}");
    }

    #[test]
    fn every_other_metric_of_a_process_exists_once() {
        let process = Process::new().unwrap();
        let families = process.collect();
        for desc in process.desc() {
            let same = families.iter().filter(|family| family.name() == desc.fq_name);
            assert_eq!(same.count(), 1, "{}", desc.fq_name);
        }
        assert_eq!(families.len(), process.desc().len());
    }

    #[test]
    fn gauges_say_what_the_system_says() {
        let [open, max, threads, virtual_memory, resident, start] = values().unwrap();
        assert!(open >= 3 && max >= open, "{open} of {max}");
        assert!(threads >= 1 && resident > 1 << 20 && virtual_memory > resident);
        let now = jiff::Timestamp::now().as_second();
        assert!((now - 3600..=now + 1).contains(&start), "{start} at {now}");
    }
}
