//! One metric of which each thread has its own vector: the page has their sum.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::registry::Registry;

/// Collects the same metric of several threads as one. Each of them is one family, with the same buckets if it is a
/// histogram.
struct Sum<C>(Vec<C>);

/// Registers the sum of one metric of all threads.
pub(super) fn register_sum<T, C: Collector + Clone + 'static>(
    registry: &Registry,
    threads: &[&T],
    metric: impl Fn(&T) -> &C,
) -> Result<(), prometheus::Error> {
    registry.register(Sum(threads.iter().map(|thread| metric(thread).clone()).collect()))
}

impl<C: Collector> Collector for Sum<C> {
    fn desc(&self) -> Vec<&Desc> {
        self.0.first().map(Collector::desc).unwrap_or_default()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let families = self.0.iter().flat_map(Collector::collect);
        families.reduce(merged).into_iter().collect()
    }
}

/// Merges two families of the same metric. A label set that both have appears once, with the sum.
fn merged(mut family: MetricFamily, mut other: MetricFamily) -> MetricFamily {
    let mut samples = family.take_metric();
    samples.append(other.mut_metric());
    samples.sort_by(|one, other| labels(one).cmp(labels(other)));
    let kind = family.get_field_type();
    samples.dedup_by(|next, kept| {
        let is_same = labels(next).eq(labels(kept));
        if is_same {
            add(kept, next, kind);
        }
        is_same
    });
    family.set_metric(samples);
    family
}

/// The values of the labels, which the library sorts by name.
fn labels(sample: &Metric) -> impl Iterator<Item = &str> {
    sample.get_label().iter().map(LabelPair::value)
}

fn add(sum: &mut Metric, other: &Metric, kind: MetricType) {
    match kind {
        MetricType::COUNTER => {
            let mut counter = Counter::default();
            counter.set_value(sum.get_counter().get_value() + other.get_counter().get_value());
            sum.set_counter(counter);
        }
        MetricType::GAUGE => {
            let mut gauge = Gauge::default();
            gauge.set_value(sum.get_gauge().get_value() + other.get_gauge().get_value());
            sum.set_gauge(gauge);
        }
        MetricType::HISTOGRAM => sum.set_histogram(histogram(sum.get_histogram(), other.get_histogram())),
        // The library makes neither.
        MetricType::SUMMARY | MetricType::UNTYPED => {}
    }
}

fn histogram(one: &Histogram, other: &Histogram) -> Histogram {
    let buckets = one.get_bucket().iter().zip(other.get_bucket());
    let buckets = buckets.map(|(one, other)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(one.upper_bound());
        bucket.set_cumulative_count(one.cumulative_count() + other.cumulative_count());
        bucket
    });
    let mut sum = Histogram::default();
    sum.set_bucket(buckets.collect());
    sum.set_sample_count(one.get_sample_count() + other.get_sample_count());
    sum.set_sample_sum(one.get_sample_sum() + other.get_sample_sum());
    sum
}

#[cfg(test)]
mod tests {
    use prometheus::{Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, TextEncoder};

    use super::*;

    /// The lines of a page with the sum of two threads, without comments.
    fn page<C: Collector + 'static>(threads: Vec<C>) -> Vec<String> {
        let registry = prometheus::Registry::new();
        registry.register(Box::new(Sum(threads))).unwrap();
        let mut page = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        samples.map(str::to_owned).collect()
    }

    /// What each thread counts: label sets and how often.
    type Counts = &'static [([&'static str; 2], u32)];

    /// What two threads count, and what their sum is.
    const CASES: &[(Counts, Counts, Counts)] = &[
        (&[], &[], &[]),
        (&[(["a", "b"], 2)], &[], &[(["a", "b"], 2)]),
        (&[], &[(["a", "b"], 3)], &[(["a", "b"], 3)]),
        (&[(["a", "b"], 2)], &[(["a", "b"], 3)], &[(["a", "b"], 5)]),
        (&[(["a", "b"], 0)], &[(["a", "b"], 0)], &[(["a", "b"], 0)]),
        (
            &[(["a", "b"], 2), (["c", "d"], 1)],
            &[(["b", "a"], 7), (["c", "d"], 4)],
            &[(["a", "b"], 2), (["b", "a"], 7), (["c", "d"], 5)],
        ),
        (
            &[(["a", "b"], 1)],
            &[(["ab", ""], 1)],
            &[(["a", "b"], 1), (["ab", ""], 1)],
        ),
    ];

    /// Holds the sum of two vectors against the cases. A vector is made by `new`, counts by `count`, and has `lines`.
    fn holds<C: Collector + 'static>(
        new: impl Fn() -> C,
        count: impl Fn(&C, [&str; 2], u32),
        lines: impl Fn([&str; 2], u32) -> Vec<String>,
    ) {
        for (first, second, sum) in CASES {
            let threads = [first, second].map(|counts| {
                let vector = new();
                counts
                    .iter()
                    .for_each(|(labels, times)| count(&vector, *labels, *times));
                vector
            });
            let want: Vec<_> = sum.iter().flat_map(|(labels, times)| lines(*labels, *times)).collect();
            assert_eq!(page(threads.into()), want, "{first:?} and {second:?}");
        }
    }

    #[test]
    fn counters_of_equal_labels_are_added() {
        holds(
            || IntCounterVec::new(Opts::new("c", "h"), &["x", "y"]).unwrap(),
            |vector, labels, times| vector.with_label_values(&labels).inc_by(times.into()),
            |[x, y], times| vec![format!(r#"c{{x="{x}",y="{y}"}} {times}"#)],
        );
    }

    #[test]
    fn gauges_of_equal_labels_are_added() {
        holds(
            || IntGaugeVec::new(Opts::new("g", "h"), &["x", "y"]).unwrap(),
            |vector, labels, times| vector.with_label_values(&labels).sub(times.into()),
            |[x, y], times| vec![format!(r#"g{{x="{x}",y="{y}"}} {}"#, -i64::from(times))],
        );
    }

    #[test]
    fn buckets_counts_and_sums_of_equal_labels_are_added() {
        let options = || HistogramOpts::new("h", "h").buckets(vec![1.0, 4.0]);
        holds(
            || HistogramVec::new(options(), &["x", "y"]).unwrap(),
            |vector, labels, times| {
                let histogram = vector.with_label_values(&labels);
                for value in [0.5, 2.0, 2.5, 8.0].repeat(times as usize) {
                    histogram.observe(value);
                }
            },
            |[x, y], times| {
                let labels = format!(r#"x="{x}",y="{y}""#);
                vec![
                    format!(r#"h_bucket{{{labels},le="1"}} {times}"#),
                    format!(r#"h_bucket{{{labels},le="4"}} {}"#, times * 3),
                    format!(r#"h_bucket{{{labels},le="+Inf"}} {}"#, times * 4),
                    format!("h_sum{{{labels}}} {}", times * 13),
                    format!("h_count{{{labels}}} {}", times * 4),
                ]
            },
        );
    }

    #[test]
    fn sum_of_one_thread_is_what_the_thread_has() {
        let vector = IntCounterVec::new(Opts::new("c", "h"), &["x"]).unwrap();
        vector.with_label_values(&["a"]).inc();
        assert_eq!(Sum(vec![vector.clone()]).collect(), vector.collect());
    }
}
