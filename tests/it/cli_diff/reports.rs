//! What `sidegate diff` says of changes: headings, causes, effects, exit codes and forms.

use std::{fmt::Write as _, process::Command};

use serde_json::{Value, json};

use super::{Folder, OLD, Said, changed};

/// The lines of a heading.
fn section(said: &Said, heading: &str) -> Vec<String> {
    let lines = said.stdout.lines().skip_while(|line| *line != heading).skip(1);
    lines.take_while(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Changes of the policy, each with the heading that it stands under and lines that begin so there.
const CHANGES: [(&str, &str, &str, &[&str]); 9] = [
    (
        "/admin/*, auth: jwt, roles: [admin]",
        "/admin/*, auth: public",
        "NOW OPEN TO THE PUBLIC",
        &[
            "  all but TRACE  /api/admin/*   ",
            "      was       token with role admin",
            "      now       public",
            "      because   routes[2].auth: jwt -> public   ",
            "      lets in   callers without a credential (were 401 credential_missing)",
            "      also      forwarded differently",
            "      try       sidegate explain GET /api/admin --without-secrets --policies new",
        ],
    ),
    (
        "roles: [admin]",
        "roles: [admin], mode: shadow",
        "NOW OPEN TO THE PUBLIC",
        &["      because   routes[2].mode: new, shadow   "],
    ),
    (
        "roles: {",
        "roles: { support: [admin], ",
        "NOW OPEN TO MORE CALLERS",
        &[
            "  because  roles.support: new, [admin]   ",
            "      lets in   tokens with role support (were 403 role_missing)",
            "      for       all but TRACE  /api/admin/*",
            "                GET, HEAD  /api/docs/{id}",
            "      try       sidegate explain GET /api/admin --claims",
        ],
    ),
    (
        "  - { path: /admin/*, auth: jwt, roles: [admin] }\n",
        "",
        "NOW OPEN TO MORE CALLERS",
        &["  because  routes[2]: gone, was { path: /admin/*, auth: jwt, roles: [admin] }"],
    ),
    (
        "name: job,",
        "name: cron,",
        "FORWARDED DIFFERENTLY",
        &[
            "      was       key job",
            "      now       key cron",
            "      because   internal_key.keys[0].name: job -> cron   ",
            "      forwards  another value in x-client-id",
        ],
    ),
    (
        "http://127.0.0.1:22000",
        "http://127.0.0.1:22001",
        "FORWARDED DIFFERENTLY",
        &["  because  upstream.url: http://127.0.0.1:22000 -> http://127.0.0.1:22001  "],
    ),
    (
        "/jobs/*, auth: internal_key",
        "/jobs/*, auth: deny",
        "CLOSED",
        &[
            "      because   routes[1].auth: internal_key -> deny   ",
            "      rejects   the key `job` (now 403 route_denied)",
        ],
    ),
    (
        "/docs/{id}', methods: [GET]",
        "/docs/{id}', methods: [GET, PUT]",
        "CLOSED",
        &["  because  routes[3].methods: [GET] -> [GET, PUT]   "],
    ),
    (
        "roles: {",
        "errors: { format: problem }\nroles: {",
        "REJECTED DIFFERENTLY",
        &["  because  errors: new, { format: problem }   "],
    ),
];

#[test]
fn change_stands_under_its_heading_with_its_cause() {
    for (this, that, heading, wanted) in CHANGES {
        let all: &[&str] = if heading == "REJECTED DIFFERENTLY" {
            &["--all"]
        } else {
            &[]
        };
        let said = changed(this, that, all);
        assert_eq!(said.code, Some(1), "{that}: {said:?}");
        let lines = section(&said, heading);
        for wanted in wanted {
            let found = lines.iter().any(|line| line.starts_with(wanted));
            assert!(found, "{that}: {wanted:?} under {heading} in\n{}", said.stdout);
        }
    }
}

#[test]
fn requests_that_are_rejected_in_another_way_are_counted_and_listed_with_all() {
    let change = ("roles: {", "errors: { format: problem }\nroles: {");
    let short = changed(change.0, change.1, &[]);
    assert!(!short.stdout.contains("REJECTED DIFFERENTLY"), "{}", short.stdout);
    assert!(
        short.stdout.contains("rejected differently (--all)"),
        "{}",
        short.stdout
    );
    assert_eq!(short.code, Some(1));
    let all = changed(change.0, change.1, &["--all"]);
    assert!(all.stdout.contains("REJECTED DIFFERENTLY"), "{}", all.stdout);
    assert!(!all.stdout.contains("(--all)"), "{}", all.stdout);
}

#[test]
fn exit_code_is_that_of_the_changes_that_fail() {
    let public = ("/admin/*, auth: jwt, roles: [admin]", "/admin/*, auth: public");
    let opened = ("roles: {", "roles: { support: [admin], ");
    let closed = ("/jobs/*, auth: internal_key", "/jobs/*, auth: deny");
    for ((this, that), codes) in [(public, [1, 1, 1, 0]), (opened, [0, 1, 1, 0]), (closed, [0, 0, 1, 0])] {
        for (fail_on, code) in ["public", "opened", "any", "never"].into_iter().zip(codes) {
            let said = changed(this, that, &["--fail-on", fail_on]);
            assert_eq!(said.code, Some(code), "{that} {fail_on}: {said:?}");
            assert!(said.stdout.lines().count() > 3, "{said:?}");
        }
    }
}

#[test]
fn json_has_the_regions_the_callers_and_the_causes() {
    let said = changed(
        "'/docs/{id}', methods: [GET], auth: jwt, roles: [viewer]",
        "'/docs/{id}', methods: [GET], auth: public",
        &["--output", "json"],
    );
    let json = said.json();
    let [change] = json["changes"].as_array().unwrap().as_slice() else {
        panic!("{json:#}")
    };
    for (field, want) in [
        ("kind", json!("opened_to_public")),
        ("effects", json!(["opened_to_public", "forwarded_differently"])),
        ("hosts", json!(["*"])),
        ("methods", json!(["GET", "HEAD"])),
        ("paths", json!([{ "pattern": "/api/docs/{id}", "case": "as_written" }])),
        ("except", json!([])),
        (
            "was",
            json!({ "service": "s", "route": "/api/docs/{id}", "place": "old/a.yaml:15:13", "asks": "jwt; one of viewer, admin, editor" }),
        ),
        (
            "now",
            json!({ "service": "s", "route": "/api/docs/{id}", "place": "new/a.yaml:15:13", "asks": "public" }),
        ),
        ("lost", json!([])),
    ] {
        assert_eq!(change[field], want, "{field}");
    }
    let because = &change["because"][0];
    assert_eq!(
        (&because["field"], &because["was"], &because["now"]),
        (&json!("routes[3].auth"), &json!("jwt"), &json!("public"))
    );
    assert_eq!(because["place"], "new/a.yaml:15:49");
    assert_eq!(
        change["gained"][0],
        json!({ "caller": {}, "was": "401 credential_missing", "now": "allow" })
    );
    let gone = json!({ "header": "x-user-id", "was": "claim sub", "now": null });
    assert!(change["told"].as_array().unwrap().contains(&gone), "{change:#}");
    assert_eq!(
        change["example"],
        json!({ "host": "localhost", "method": "GET", "path": "/api/docs/a" })
    );
    assert_eq!((&json["routes"], &json["unchanged_routes"]), (&json!(5), &json!(4)));
    assert!(json["classes"]["callers"].as_u64().unwrap() > 1, "{json:#}");
}

#[test]
fn command_of_a_change_works_without_secrets_and_shows_the_change() {
    let mut shown = 0;
    for (this, that, heading, _) in CHANGES {
        let folder = Folder::new(&[("old/a.yaml", OLD), ("new/a.yaml", &OLD.replace(this, that))]);
        let said = folder.diff(&["old", "new", "--all"]);
        let commands: Vec<_> = said
            .stdout
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("try "))
            .collect();
        for command in commands {
            let command = command.trim().replacen("sidegate", env!("CARGO_BIN_EXE_sidegate"), 1);
            let run = |policies: &str| {
                let command = command.replace("--policies new", &format!("--policies {policies}"));
                let ended = Command::new("sh")
                    .args(["-c", &command])
                    .current_dir(folder.path())
                    .env_clear()
                    .output()
                    .unwrap();
                assert!(ended.status.code().is_some_and(|code| code < 2), "{command}: {ended:?}");
                String::from_utf8(ended.stdout)
                    .unwrap()
                    .replace(&format!("{policies}/"), "")
            };
            // `explain` signs as each side wants it, and shows no upstream.
            let is_seen = heading != "FORWARDED DIFFERENTLY" && !this.contains("env: ");
            assert!(!is_seen || run("old") != run("new"), "{this} -> {that}: {command}");
            shown += 1;
        }
    }
    // No key can be shown to `explain`.
    assert!(shown + 1 >= CHANGES.len(), "{shown}");
}

/// A policy with many routes, all of which ask for a token, or none of which does.
fn many(routes: usize, auth: &str) -> String {
    let mut text = OLD.split("routes:").next().unwrap().to_owned() + "routes:\n";
    for route in 0..routes {
        let _ = writeln!(
            text,
            "  - {{ path: '/things-with-a-long-name-{route}/*', auth: {auth} }}"
        );
    }
    text
}

#[test]
fn markdown_of_many_changes_ends_in_time_and_says_what_is_left_out() {
    let folder = Folder::new(&[("old.yaml", &many(600, "jwt")), ("new.yaml", &many(600, "public"))]);
    let said = folder.diff(&["old.yaml", "new.yaml", "--output", "markdown"]);
    assert_eq!(said.code, Some(1));
    let length = said.stdout.chars().count();
    assert!((40_000..60_000).contains(&length), "{length}");
    let rows = said
        .stdout
        .lines()
        .filter(|line| line.starts_with("| `all but TRACE"))
        .count();
    let left = format!("**{} entries are left out here**", 600 - rows);
    assert!(said.stdout.contains(&left), "{left}");
    assert!(
        said.stdout
            .starts_with("### Sidegate: 600 openings, 600 to the public; 600 forwarded differently\n"),
        "{:.200}",
        said.stdout
    );
}

#[test]
fn github_has_nine_annotations_of_a_kind_and_one_that_counts_the_rest() {
    let folder = Folder::new(&[("old.yaml", &many(30, "jwt")), ("new.yaml", &many(30, "public"))]);
    let said = folder.diff(&["old.yaml", "new.yaml", "--output", "github"]);
    let annotations: Vec<_> = said.stdout.lines().filter(|line| line.starts_with("::")).collect();
    assert_eq!(annotations.len(), 10, "{}", said.stdout);
    assert!(
        annotations
            .iter()
            .all(|line| line.starts_with("::error file=new.yaml,line="))
    );
    assert!(
        annotations[0].contains("title=now open to the public::"),
        "{}",
        annotations[0]
    );
    assert!(annotations[9].contains("21 more"), "{}", annotations[9]);
    // All are in the text.
    assert_eq!(
        section(&said, "NOW OPEN TO THE PUBLIC")
            .iter()
            .filter(|line| line.contains("was  "))
            .count(),
        30
    );
}

#[test]
fn list_of_a_cause_is_short_without_all() {
    let folder = Folder::new(&[
        ("old.yaml", &many(8, "jwt")),
        ("new.yaml", &many(8, "jwt").replace("S_SECRET", "S_OTHER")),
    ]);
    let short = folder.diff(&["old.yaml", "new.yaml"]).stdout;
    assert_eq!(short.matches("because").count(), 1, "{short}");
    assert!(
        short.contains("jwt.issuers[0].keys: { secret: { env: S_SECRET } } -> { secret: { env: S_OTHER } }"),
        "{short}"
    );
    assert!(short.contains("and 5 more (--all)"), "{short}");
    assert!(short.contains("also      closed to others"), "{short}");
    let all = folder.diff(&["old.yaml", "new.yaml", "--all"]).stdout;
    assert!(!all.contains("(--all)") && all.contains("name-7"), "{all}");
}

#[test]
fn callers_of_a_test_file_are_named() {
    const TESTS: &str = "\
version: 1
policies: new.yaml
callers:
  nobody: {}
  admin: { token: { sub: a, roles: [admin] } }
  support: { token: { sub: s, roles: [support] } }
  scheduler: { key: job }
tests:
  - { name: x, request: GET /api/health, expect: { nobody: allow, admin: allow, support: allow, scheduler: allow } }
";
    let new = OLD
        .replace("roles: {", "roles: { support: [admin], ")
        .replace("/jobs/*, auth: internal_key", "/jobs/*, auth: deny");
    let folder = Folder::new(&[("old.yaml", OLD), ("new.yaml", &new), ("a.test.yaml", TESTS)]);
    let arguments = ["old.yaml", "new.yaml", "--callers", "a.test.yaml"];
    let json = folder.diff(&[&arguments[..], &["--output", "json"]].concat()).json();
    let callers = |kind: &str| -> Value {
        let changes = json["changes"].as_array().unwrap();
        changes.iter().find(|change| change["kind"] == kind).unwrap()["callers"].clone()
    };
    assert_eq!(callers("opened"), json!({ "let_in": ["support"], "kept_out": [] }));
    assert_eq!(callers("closed"), json!({ "let_in": [], "kept_out": ["scheduler"] }));
    let text = folder.diff(&arguments).stdout;
    assert!(
        text.contains("      callers   let in: support\n") && text.contains("      callers   kept out: scheduler\n"),
        "{text}"
    );
    folder.write("a.test.yaml", &TESTS.replace("key: job", "key: jobb"));
    folder
        .diff(&arguments)
        .could_not_run(&["a.test.yaml:7:", "did you mean `job`"]);
}

/// The policy with two routes that ask for different things.
fn with_two() -> String {
    OLD.replace(
        "  - { path: /*, auth: jwt }",
        "  - { path: /x, auth: jwt, roles: [clerk] }\n  - { path: /y, auth: jwt }\n  - { path: /*, auth: public }",
    )
}

#[test]
fn changes_of_one_cause_are_said_of_the_routes_that_they_are_true_of() {
    let two = with_two();
    let folder = Folder::new(&[
        ("old.yaml", &two),
        (
            "shadow.yaml",
            &two.replace("service: s\n", "service: s\nmode: shadow\n"),
        ),
        (
            "styled.yaml",
            &two.replace("service: s\n", "service: s\nerrors: { format: problem }\n"),
        ),
    ]);
    let text = folder.diff(&["old.yaml", "shadow.yaml", "--all"]).stdout;
    assert!(!text.contains("      was  "), "{text}");
    for (file, wanted) in [
        ("shadow.yaml", ["/api/x: token with role clerk<br>", "/api/y: token |"]),
        (
            "styled.yaml",
            ["  /api/x` | token with role clerk |", "  /api/y` | token |"],
        ),
    ] {
        let page = folder.diff(&["old.yaml", file, "--all", "--output", "markdown"]).stdout;
        for wanted in wanted {
            assert!(page.contains(wanted), "{file}: {wanted} in\n{page}");
        }
    }
}

#[test]
fn what_a_cause_does_to_each_route_is_said_of_that_route() {
    let folder = Folder::new(&[
        (
            "old.yaml",
            &OLD.replace(
                "  - { path: /*, auth: jwt }",
                "  - { path: /*, auth: jwt }\n  - { path: '/{id}', auth: public }",
            ),
        ),
        ("new.yaml", OLD),
    ]);
    // Where the new route takes requests that others took, their headers are said of each.
    let text = folder.diff(&["new.yaml", "old.yaml"]).stdout;
    let lines: Vec<_> = text.lines().collect();
    for wanted in [
        "      forwards  /api/admin: no more ",
        "                /api/jobs: no more x-client-id; another value in x-auth-method",
        "      for       all but TRACE  /api/admin  /api/jobs  /api/{id}",
        "                all but TRACE  /api/jobs with `jobs` in another case",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(wanted)), "{wanted}: {text}");
    }
    let page = folder.diff(&["new.yaml", "old.yaml", "--output", "markdown"]).stdout;
    assert!(
        page.contains("`` all but TRACE  /api/admin with `admin` in another case ``<br>``"),
        "{page}"
    );
}

#[test]
fn summary_counts_a_change_by_each_of_its_effects() {
    for (this, that, wanted) in [
        (
            "/health, auth: public",
            "/health, auth: jwt",
            "1 closing; 1 forwarded differently\n",
        ),
        (
            "/admin/*, auth: jwt, roles: [admin]",
            "/admin/*, auth: public",
            "1 opening, 1 to the public; 1 forwarded differently\n",
        ),
        ("S_SECRET", "S_OTHER", "1 opening; 1 closing\n"),
        (
            "/jobs/*, auth: internal_key",
            "/jobs/*, auth: deny",
            "1 closing; 2 rejected differently\n",
        ),
    ] {
        let said = changed(this, that, &[]);
        assert!(said.stdout.starts_with(wanted), "{that}: {said:?}");
    }
}

#[test]
fn route_that_loses_requests_does_not_answer_as_before() {
    let folding = OLD.replace("service: s\n", "service: s\npaths: { case_insensitive: true }\n");
    let folder = Folder::new(&[("old.yaml", &folding), ("new.yaml", OLD)]);
    for paths in [["old.yaml", "new.yaml"], ["new.yaml", "old.yaml"]] {
        let said = folder.diff(&paths);
        assert!(said.stdout.contains("\n0 of 5 routes answer as before"), "{said:?}");
    }
}
