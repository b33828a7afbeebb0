//! Policies that change while it runs: every way in which files change, all or nothing, and no
//! request is the worse for it.

use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::harness::{Gateway, Latch, Reply, Request, Setup, Upstream, also_on_4_threads, eventually, values};

/// A service below `/w` with one public route. `$routes` names it; tests change it.
const POLICY: &str = "
version: 1
service: wallet-svc
prefix: /w
upstream: { url: '$upstream' }
jwt: { issuers: [{ issuer: unchecked, audience: unchecked, algorithms: [HS256], keys: { secret: { env: IT_SECRET } } }] }
routes: [{ path: /$route, auth: public }, { path: /always, auth: public }]
";

/// The policy of a service with this public route.
pub(crate) fn policy(url: &str, route: &str) -> String {
    POLICY.replace("$upstream", url).replace("$route", route)
}

fn start(route: &str) -> Gateway {
    let setup = Setup::new();
    let text = policy(setup.upstream_url(), route);
    setup.policy("wallet", &text).start()
}

/// Waits for less time than passes between two reads of files without a reported change.
#[track_caller]
pub(crate) fn promptly(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(6);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not soon enough");
        thread::sleep(Duration::from_millis(10));
    }
}

fn is_open(gateway: &Gateway, route: &str) -> bool {
    gateway.send(&Request::get(&format!("/w/{route}"))).status == 200
}

/// The route works soon, and is the only one.
#[track_caller]
pub(crate) fn opens(gateway: &Gateway, route: &str) {
    promptly(route, || is_open(gateway, route));
    for other in ["one", "two", "three", "four"]
        .into_iter()
        .filter(|other| *other != route)
    {
        assert!(!is_open(gateway, other), "{other} is there as well");
    }
}

/// How often files were read with this result, the start included.
pub(crate) fn reloads(gateway: &Gateway, result: &str) -> u32 {
    let page = gateway.metrics();
    let start = format!("sidegate_policy_reloads_total{{result=\"{result}\"}} ");
    page.lines()
        .find_map(|line| line.strip_prefix(&start))
        .unwrap()
        .parse()
        .unwrap()
}

fn hash(gateway: &Gateway) -> String {
    let page = gateway.metrics();
    let lines: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("sidegate_policy_info{"))
        .collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let (_, hash) = lines[0].split_once("hash=\"").unwrap();
    hash.split_once('"').unwrap().0.to_owned()
}

fn change(gateway: &Gateway, name: &str, route: &str) {
    fs::write(gateway.path(name), policy(&gateway.upstream.url, route)).unwrap();
}

also_on_4_threads![
    files_come_and_go,
    what_does_not_check_out_leaves_the_last_good_one,
    sighup_looks_at_once,
    a_request_keeps_the_policy_that_it_began_with,
    no_request_fails_while_policies_change,
];

#[test]
fn a_file_is_written_in_place() {
    let gateway = start("one");
    opens(&gateway, "one");
    for route in ["two", "three", "one", "four"] {
        change(&gateway, "policies/wallet.yaml", route);
        opens(&gateway, route);
    }
    assert_eq!((reloads(&gateway, "success"), reloads(&gateway, "failure")), (5, 0));
}

#[test]
fn a_file_is_renamed_over_another() {
    let gateway = start("one");
    for route in ["two", "three", "four"] {
        change(&gateway, "new", route);
        fs::rename(gateway.path("new"), gateway.path("policies/wallet.yaml")).unwrap();
        opens(&gateway, route);
    }
}

#[test]
fn an_editor_saves_a_file() {
    let gateway = start("one");
    for route in ["two", "three"] {
        change(&gateway, "policies/4913", route);
        fs::remove_file(gateway.path("policies/4913")).unwrap();
        fs::rename(
            gateway.path("policies/wallet.yaml"),
            gateway.path("policies/wallet.yaml~"),
        )
        .unwrap();
        change(&gateway, "policies/.wallet.yaml.tmp", route);
        fs::rename(
            gateway.path("policies/.wallet.yaml.tmp"),
            gateway.path("policies/wallet.yaml"),
        )
        .unwrap();
        fs::remove_file(gateway.path("policies/wallet.yaml~")).unwrap();
        opens(&gateway, route);
    }
}

#[test]
fn the_whole_folder_is_replaced() {
    let gateway = start("one");
    for (n, route) in ["two", "three", "four"].into_iter().enumerate() {
        fs::create_dir(gateway.path("new")).unwrap();
        change(&gateway, "new/wallet.yaml", route);
        fs::rename(gateway.path("policies"), gateway.path(&format!("old-{n}"))).unwrap();
        fs::rename(gateway.path("new"), gateway.path("policies")).unwrap();
        opens(&gateway, route);
    }
}

#[test]
fn files_come_and_go() {
    let gateway = start("one");
    let other = policy(&gateway.upstream.url, "two")
        .replace("/w", "/other")
        .replace("wallet-svc", "other-svc");
    // In front of the other, so that every policy has another place in the list.
    fs::write(gateway.path("policies/a.yaml"), other).unwrap();
    promptly("the new one", || {
        gateway.send(&Request::get("/other/two")).status == 200
    });
    opens(&gateway, "one");
    fs::remove_file(gateway.path("policies/wallet.yaml")).unwrap();
    promptly("the old one is gone", || !is_open(&gateway, "one"));
    gateway.allowed(&Request::get("/other/two"));
    // Without any, the last one stays.
    fs::remove_file(gateway.path("policies/a.yaml")).unwrap();
    promptly("it is refused", || reloads(&gateway, "failure") == 1);
    gateway.allowed(&Request::get("/other/two"));
    assert!(gateway.log_text().contains("has no policy"));
}

#[test]
fn what_does_not_check_out_leaves_the_last_good_one() {
    let gateway = start("one");
    let before = hash(&gateway);
    let bad = policy(&gateway.upstream.url, "two")
        .replace("auth: public", "auth: pubic")
        .replace("service", "servise");
    let good = policy(&gateway.upstream.url, "two");
    // In one piece: half a file would be one more that does not check out.
    let put = |text: &str| {
        fs::write(gateway.path("new"), text).unwrap();
        fs::rename(gateway.path("new"), gateway.path("policies/wallet.yaml")).unwrap();
    };
    put(&bad);
    promptly("it is refused", || reloads(&gateway, "failure") == 1);
    opens(&gateway, "one");
    assert_eq!(hash(&gateway), before);
    let last = |name| gateway.metric(name, &[]).unwrap();
    let read = last("sidegate_policy_last_reload_success_timestamp_seconds");
    let errors: Vec<_> = gateway
        .log_lines()
        .into_iter()
        .filter(|line| line["level"] == "ERROR")
        .collect();
    for (word, help) in [("`pubic`", "public"), ("`servise`", "service")] {
        let told = errors.iter().any(|line| {
            let place = line["place"].as_str().unwrap_or_default();
            let (said, fix) = (
                line["message"].as_str().unwrap(),
                line["help"].as_str().unwrap_or_default(),
            );
            place.contains("policies/wallet.yaml:")
                && said.contains(word)
                && (said.contains(help) || fix.contains(help))
        });
        assert!(told, "{word} is not in {errors:#?}");
    }
    // The same once more is not logged once more.
    put(&bad);
    put(&good);
    opens(&gateway, "two");
    assert_eq!((reloads(&gateway, "success"), reloads(&gateway, "failure")), (2, 1));
    assert_ne!(hash(&gateway), before);
    assert!(last("sidegate_policy_last_reload_success_timestamp_seconds") >= read);
    // What was rejected may also be taken back.
    put(&bad);
    promptly("it is refused again", || reloads(&gateway, "failure") == 2);
    assert!(last("sidegate_policy_last_reload_successful") < 1.0);
    put(&good);
    promptly("and taken back", || reloads(&gateway, "success") == 3);
    assert!(last("sidegate_policy_last_reload_successful") > 0.0);
    opens(&gateway, "two");
}

#[test]
fn a_bad_file_keeps_a_good_one_from_its_place() {
    let gateway = start("one");
    let wrong = policy(&gateway.upstream.url, "two").replace("prefix: /w", "prefix: w");
    fs::write(gateway.path("policies/wrong.yaml"), wrong).unwrap();
    change(&gateway, "policies/wallet.yaml", "three");
    promptly("it is refused", || reloads(&gateway, "failure") >= 1);
    opens(&gateway, "one");
    fs::remove_file(gateway.path("policies/wrong.yaml")).unwrap();
    opens(&gateway, "three");
}

/// A gateway whose policy has a second name: what is written by it, no watch on the folder sees.
fn start_with_another_name(route: &str) -> Gateway {
    let setup = Setup::new();
    let text = policy(setup.upstream_url(), route);
    let setup = setup.policy("wallet", &text);
    setup.write();
    fs::hard_link(setup.path("policies/wallet.yaml"), setup.path("another-name")).unwrap();
    setup.start()
}

fn said(gateway: &Gateway, what: &str) -> usize {
    gateway.log_text().matches(what).count()
}

#[test]
fn a_changed_sidegate_yaml_takes_a_restart_and_the_log_says_so() {
    const CHANGED: &str = "sidegate.yaml has changed; that takes a restart";
    const AGAIN: &str = "sidegate.yaml is again what this process was started with";
    let gateway = start("one");
    let path = gateway.path("sidegate.yaml");
    let before = fs::read_to_string(&path).unwrap();
    gateway.hang_up();
    promptly("nothing has changed", || {
        said(&gateway, "no policy file has changed") == 1
    });
    assert_eq!(said(&gateway, CHANGED), 0);
    fs::write(&path, format!("{before}threads: 2\n")).unwrap();
    promptly("it is said without being asked", || said(&gateway, CHANGED) == 1);
    gateway.hang_up();
    promptly("it is said again to who asks", || said(&gateway, CHANGED) == 2);
    fs::write(&path, &before).unwrap();
    promptly("it is said that all is as before", || said(&gateway, AGAIN) == 1);
    fs::remove_file(&path).unwrap();
    promptly("a file that is gone has changed", || said(&gateway, CHANGED) == 3);
    assert_eq!(reloads(&gateway, "failure"), 0);
    opens(&gateway, "one");
}

#[test]
fn files_that_cannot_be_opened_for_want_of_descriptors_have_not_changed() {
    let setup = Setup::new();
    let text = policy(setup.upstream_url(), "one");
    let gateway = setup.tls().policy("wallet", &text).start();
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile)
        .maximum
        .unwrap_or(1 << 20);
    gateway.limit_descriptors(3);
    gateway.hang_up();
    promptly("it says that it cannot look", || {
        said(&gateway, "no file descriptor is left") == 1
    });
    gateway.hang_up();
    promptly("it heard the second one", || {
        said(&gateway, "SIGHUP received, reloading files") == 2
    });
    gateway.limit_descriptors(hard);
    change(&gateway, "policies/wallet.yaml", "two");
    gateway.hang_up();
    opens(&gateway, "two");
    for refusal in [
        "the changed policies are rejected",
        "the certificates are wrong",
        "takes a restart",
    ] {
        assert_eq!(said(&gateway, refusal), 0, "{refusal}: {}", gateway.log_text());
    }
    assert_eq!(reloads(&gateway, "failure"), 0);
}

#[test]
fn sighup_looks_at_once() {
    let gateway = start_with_another_name("one");
    for route in ["two", "three"] {
        change(&gateway, "another-name", route);
        gateway.hang_up();
        opens(&gateway, route);
    }
    gateway.hang_up();
    promptly("it says that there is nothing", || {
        gateway.log_text().contains("no policy file has changed")
    });
    assert_eq!(reloads(&gateway, "success"), 3);
    // A SIGHUP logs it again.
    fs::write(gateway.path("another-name"), "version: 7").unwrap();
    gateway.hang_up();
    promptly("it is refused", || reloads(&gateway, "failure") == 1);
    gateway.hang_up();
    promptly("it is told again", || reloads(&gateway, "failure") == 2);
    opens(&gateway, "three");
}

#[test]
fn change_that_was_not_reported_is_found_later() {
    let gateway = start_with_another_name("one");
    change(&gateway, "another-name", "two");
    eventually("two", || is_open(&gateway, "two"));
}

/// A writer that pauses for this long is taken to be done.
const QUIET: Duration = Duration::from_millis(100);

#[test]
fn a_file_is_written_in_pieces() {
    // On a machine that stood still in between, the pauses were too long to say anything.
    let said = (0..10).any(|_| written_in_pieces(&start("one")));
    assert!(said, "the machine is too slow");
}

/// Whether the pieces came fast enough to be taken as one.
fn written_in_pieces(gateway: &Gateway) -> bool {
    let text = policy(&gateway.upstream.url, "two") + "# the end\n";
    // Without the last route it checks out as well, but it is never in force.
    let (most, rest) = text.split_at(text.rfind(", { path: /always").unwrap());
    for _ in 0..20 {
        let mut file = fs::File::create(gateway.path("policies/wallet.yaml")).unwrap();
        for piece in [&format!("{most}]\n"), ""] {
            let begun = Instant::now();
            file.write_all(piece.as_bytes()).unwrap();
            gateway.hang_up();
            thread::sleep(Duration::from_millis(5));
            if begun.elapsed() > QUIET / 2 {
                return false;
            }
        }
        file.set_len(most.len() as u64).unwrap();
        file.seek(SeekFrom::End(0)).unwrap();
        file.write_all(rest.as_bytes()).unwrap();
        assert!(is_open(gateway, "always"));
    }
    opens(gateway, "two");
    assert_eq!((reloads(gateway, "success"), reloads(gateway, "failure")), (2, 0));
    true
}

#[test]
fn the_hash_says_which_policies_are_in_force() {
    let upstream = Upstream::recording();
    let text = policy(&upstream.url, "one");
    let (one, same) = thread::scope(|scope| {
        let start = || Setup::new().policy("wallet", &text).start();
        let other = scope.spawn(start);
        (start(), other.join().unwrap())
    });
    assert_eq!(hash(&one), hash(&same));
    fs::write(one.path("policies/wallet.yaml"), policy(&upstream.url, "two")).unwrap();
    opens(&one, "two");
    assert_ne!(hash(&one), hash(&same));
    fs::write(same.path("policies/wallet.yaml"), policy(&upstream.url, "two")).unwrap();
    opens(&same, "two");
    assert_eq!(hash(&one), hash(&same));
    eventually("it is told", || one.log_text().contains(&hash(&one)));
}

#[test]
fn a_request_keeps_the_policy_that_it_began_with() {
    let release = Latch::default();
    let held = release.clone();
    let upstream = Upstream::start(move |request| {
        if request.target == "/w/one" && !values(&request.headers, "x-held").is_empty() {
            held.wait();
        }
        Reply::ok("whole")
    });
    let setup = Setup::in_front_of(upstream);
    let text = policy(setup.upstream_url(), "one");
    let gateway = setup.policy("wallet", &text).start();
    let id = uuid::Uuid::new_v4().to_string();
    let request = Request::get("/w/one")
        .header("x-held", "yes")
        .header("x-request-id", &id);
    let mut wire = gateway.connect();
    wire.write(request.bytes());
    eventually("the service has it", || {
        !gateway.upstream.seen(&request.case).is_empty()
    });
    // Another policy in the place of the old one, with another service that cannot be reached.
    fs::remove_file(gateway.path("policies/wallet.yaml")).unwrap();
    let other = policy("http://127.0.0.1:1", "two").replace("wallet-svc", "other-svc");
    fs::write(gateway.path("policies/other.yaml"), other).unwrap();
    promptly("the new policy", || gateway.send(&Request::get("/w/two")).status == 502);
    assert_eq!(gateway.send(&Request::get("/w/one")).status, 404);
    release.open();
    let answer = wire.answer("GET").unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "whole"));
    let mut line = json!(null);
    eventually("it is logged", || {
        let mut lines = gateway.log_lines().into_iter();
        line = lines.find(|line| line["request_id"] == json!(id)).unwrap_or_default();
        !line.is_null()
    });
    assert_eq!(
        (&line["service"], &line["route"]),
        (&json!("wallet-svc"), &json!("/w/one"))
    );
    // The same connection is under the new policy now.
    wire.write(Request::get("/w/one").bytes());
    assert_eq!(wire.answer("GET").unwrap().status, 404);
}

#[test]
fn no_request_fails_while_policies_change() {
    let gateway = start("one");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let (mut wire, mut answered) = (gateway.connect(), 0);
                    while !over.load(Ordering::Relaxed) {
                        let request = Request::get("/w/always");
                        wire.write(request.bytes());
                        let answer = wire.answer("GET").unwrap();
                        assert_eq!(answer.status, 200, "{answer:?}");
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        let changed = (0..50).all(|n| {
            let route = if n % 2 == 0 { "two" } else { "one" };
            change(&gateway, "policies/wallet.yaml", route);
            gateway.hang_up();
            let deadline = Instant::now() + Duration::from_secs(10);
            while !is_open(&gateway, route) && Instant::now() < deadline {
                thread::yield_now();
            }
            is_open(&gateway, route)
        });
        over.store(true, Ordering::Relaxed);
        assert!(changed, "a change did not come into force");
        for client in clients {
            assert!(client.join().unwrap() > 50);
        }
    });
    assert!(reloads(&gateway, "success") >= 51);
    // The same service all the time, so no new connections to it either.
    assert!(
        gateway.upstream.connections() < 12,
        "{}",
        gateway.upstream.connections()
    );
}
