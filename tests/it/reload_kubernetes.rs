//! Policies in a volume of Kubernetes: what changes there is a link, never a file.

use std::{fs, os::unix::fs::symlink, path::Path};

use crate::{
    harness::{Request, Setup, eventually},
    reload::{opens, policy, promptly, reloads},
};

/// Writes a volume as Kubernetes does: a folder of a day, and links that lead to it.
pub(crate) fn mount(volume: &Path, day: &str, files: &[(&str, &str)]) {
    let before = fs::read_link(volume.join("..data"));
    fs::create_dir(volume.join(day)).unwrap();
    for (name, text) in files {
        fs::write(volume.join(day).join(name), text).unwrap();
        let link = volume.join(name);
        if !link.is_symlink() {
            symlink(format!("..data/{name}"), link).unwrap();
        }
    }
    symlink(day, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    if let Ok(before) = before {
        fs::remove_dir_all(volume.join(before)).unwrap();
    }
}

#[test]
fn the_data_of_a_volume_is_swapped_again_and_again() {
    let setup = Setup::new();
    let url = setup.upstream_url().to_owned();
    let volume = setup.path("policies");
    mount(&volume, "..2026_0", &[("wallet.yaml", &policy(&url, "one"))]);
    let gateway = setup.start();
    opens(&gateway, "one");
    let held = |name| gateway.metric(name, &[]).unwrap();
    let (files, threads) = (held("process_open_fds"), held("process_threads"));
    for (day, route) in ["two", "three", "four", "one", "two", "three"].into_iter().enumerate() {
        let day = format!("..2026_{}", day + 1);
        mount(&volume, &day, &[("wallet.yaml", &policy(&url, route))]);
        opens(&gateway, route);
    }
    // Neither watches nor their threads are left behind.
    eventually("descriptors are given back", || held("process_open_fds") <= files + 4.0);
    eventually("threads end", || held("process_threads") <= threads + 2.0);
}

/// Two policies that contradict each other unless they are of the same day.
fn two(url: &str, day: usize) -> [(&'static str, String); 2] {
    let of = |service, prefix| {
        let text = policy(url, &format!("day-{day}"));
        text.replace("wallet-svc", service)
            .replace("prefix: /w", &format!("prefix: {prefix}"))
    };
    let (one, other) = if day.is_multiple_of(2) {
        ("/w", "/v")
    } else {
        ("/v", "/w")
    };
    [("one.yaml", of("one-svc", one)), ("other.yaml", of("other-svc", other))]
}

#[test]
fn a_volume_is_never_seen_half_old_and_half_new() {
    let setup = Setup::new();
    let (url, volume) = (setup.upstream_url().to_owned(), setup.path("policies"));
    let swap = |day| {
        let files = two(&url, day);
        let files = [0, 1].map(|at| (files[at].0, files[at].1.as_str()));
        mount(&volume, &format!("..2026_{day}"), &files);
    };
    swap(0);
    let gateway = setup.start();
    let last = 60;
    for day in 1..=last {
        swap(day);
        gateway.hang_up();
        if day % 3 == 0 {
            let before = reloads(&gateway, "success");
            promptly("some day is in force", || {
                reloads(&gateway, "success") > before || gateway.send(&day_of("/w", day)).status == 200
            });
        }
    }
    for prefix in ["/w", "/v"] {
        promptly("the last day", || gateway.send(&day_of(prefix, last)).status == 200);
    }
    assert_eq!(reloads(&gateway, "failure"), 0, "{}", gateway.log_text());
    assert!(reloads(&gateway, "success") > 10);
}

fn day_of(prefix: &str, day: usize) -> Request {
    Request::get(&format!("{prefix}/day-{day}"))
}
