//! What the system says of this process. The library's collector counts whole seconds of processor
//! time, too coarse for rates over a minute.

use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Opts};
use rustix::time::{ClockId, clock_gettime};

const CPU: &str = "process_cpu_seconds_total";

/// The metrics of the library's collector, with processor time in fractions of a second.
pub(super) struct Process {
    all: ProcessCollector,
    cpu: Opts,
}

impl Process {
    pub(super) fn new() -> Self {
        Self {
            all: ProcessCollector::for_self(),
            cpu: Opts::new(CPU, "Total user and system CPU time spent in seconds."),
        }
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.all.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.all.collect();
        families.retain(|family| family.name() != CPU);
        // A new counter each time: two pages at the same time add nothing twice.
        if let Ok(cpu) = Counter::with_opts(self.cpu.clone()) {
            cpu.inc_by(cpu_seconds());
            families.extend(cpu.collect());
        }
        families
    }
}

/// The processor time of all threads of this process, those that ended included.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    std::time::Duration::try_from(time).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(process: &Process) -> f64 {
        let families = process.collect();
        let found: Vec<_> = families.iter().filter(|family| family.name() == CPU).collect();
        assert_eq!(found.len(), 1);
        found[0].get_metric()[0].get_counter().get_value()
    }

    #[test]
    fn processor_time_has_fractions_of_a_second_and_never_shrinks() {
        let process = Process::new();
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
        let process = Process::new();
        let families = process.collect();
        for desc in process.desc() {
            let same = families.iter().filter(|family| family.name() == desc.fq_name);
            assert_eq!(same.count(), 1, "{}", desc.fq_name);
        }
        assert_eq!(families.len(), process.desc().len());
    }
}
