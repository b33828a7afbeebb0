//! `sidegate diff --git`: the same path, as it was.

use std::{os::unix::fs::symlink, process::Command};

use super::{Folder, OLD};

/// A repository with one commit, which is tagged `one`.
struct Repository(Folder);

impl Repository {
    fn new(files: &[(&str, &str)]) -> Self {
        let repository = Self(Folder::new(files));
        repository.git(&["init", "-q", "-b", "main"]);
        repository.commit();
        repository.git(&["tag", "one"]);
        repository
    }

    fn git(&self, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.com",
            "-c",
            "commit.gpgsign=false",
        ]);
        let ended = git.args(arguments).current_dir(self.0.path()).output().unwrap();
        assert!(ended.status.success(), "{arguments:?}: {ended:?}");
    }

    fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "x"]);
    }
}

fn slower() -> String {
    OLD.replace("auth: public }", "auth: public, timeout: 5s }")
}

#[test]
fn path_is_compared_with_what_it_was_from_any_folder() {
    let repository = Repository::new(&[("deploy/p/a.yaml", OLD), ("deploy/readme.txt", "")]);
    repository.0.write("deploy/p/a.yaml", &slower());
    let absolute = repository.0.path().join("deploy/p");
    for (folder, path) in [
        ("", "deploy/p"),
        ("", "deploy/p/a.yaml"),
        ("deploy", "p"),
        ("deploy", "./p/../p/a.yaml"),
        ("deploy/p", "."),
        ("deploy/p", "a.yaml"),
        ("deploy/p", "../p"),
        ("", absolute.to_str().unwrap()),
    ] {
        for revision in ["HEAD", "main", "one"] {
            let said = repository.0.diff_in(folder, &["--git", revision, path], |_| {});
            assert_eq!(said.code, Some(1), "{folder} {path} {revision}: {said:?}");
            assert!(said.stdout.contains("routes[0].timeout: 30s -> 5s"), "{said:?}");
        }
    }
    repository.commit();
    assert_eq!(repository.0.diff(&["--git", "HEAD", "deploy/p"]).code, Some(0));
    assert_eq!(repository.0.diff(&["--git", "HEAD~1", "deploy/p"]).code, Some(1));
}

#[test]
fn hook_of_another_repository_makes_no_difference() {
    let repository = Repository::new(&[("p/a.yaml", OLD)]);
    let other = Repository::new(&[("p/a.yaml", &slower())]);
    let said = repository.0.diff_in("", &["--git", "HEAD", "p"], |command| {
        command
            .env("GIT_DIR", other.0.path().join(".git"))
            .env("GIT_INDEX_FILE", "index");
    });
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[test]
fn files_of_a_revision_are_named_as_git_names_them() {
    let repository = Repository::new(&[
        ("p/a.yaml", OLD),
        ("q/a.yaml", &OLD.replace("auth: public", "auth: pubic")),
    ]);
    repository.0.write(
        "p/a.yaml",
        &OLD.replace("roles: {", "paths: { allow: [semicolon] }\nroles: {"),
    );
    let forward = repository.0.diff(&["--git", "main", "p", "--output", "json"]).json();
    assert_eq!(forward["settings"][0]["place"], "p/a.yaml:10:17");
    repository.commit();
    repository.0.write("p/a.yaml", OLD);
    let back = repository.0.diff(&["--git", "main", "p", "--output", "json"]).json();
    assert_eq!(back["settings"][0]["place"], "main:p/a.yaml:10:17");
    repository.0.write("q/a.yaml", OLD);
    repository
        .0
        .diff(&["--git", "one", "q"])
        .could_not_run(&["one:q/a.yaml:12:", "OLD (`one:q`) does not check out"]);
}

#[test]
fn configuration_is_compared_with_what_it_was() {
    let repository = Repository::new(&[
        ("conf/sidegate.yaml", "version: 1\npolicies: ../p\n"),
        ("p/a.yaml", OLD),
        ("p/b.test.yaml", "no policy"),
        ("away/sidegate.yaml", "version: 1\npolicies: /etc/sidegate/policies\n"),
    ]);
    repository
        .0
        .write("conf/sidegate.yaml", "version: 1\npolicies: ../p\nthreads: 2\n");
    repository.0.write("p/a.yaml", &slower());
    let json = repository
        .0
        .diff_in("conf", &["--git", "HEAD", "sidegate.yaml", "--output", "json"], |_| {})
        .json();
    let fields: Vec<_> = json["settings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["threads", "routes[0].timeout"]);
    repository.0.write("away/sidegate.yaml", "version: 1\npolicies: ../p\n");
    let said = repository.0.diff(&["--git", "HEAD", "away/sidegate.yaml"]);
    said.could_not_run(&[
        "`HEAD:away/sidegate.yaml` names policies outside of the repository: `/etc/sidegate/policies`",
    ]);
}

#[test]
fn path_that_cannot_be_compared_with_a_revision_says_why() {
    let repository = Repository::new(&[("p/a.yaml", OLD), ("notes/readme.txt", "")]);
    symlink("../p/a.yaml", repository.0.path().join("notes/a.yaml")).unwrap();
    symlink("p", repository.0.path().join("linked")).unwrap();
    repository.commit();
    repository.0.write("new/a.yaml", OLD);
    let outside = Folder::new(&[("a.yaml", OLD)]);
    let outside = outside.path().to_str().unwrap();
    for (revision, path, words) in [
        ("HEAD", "new", "`HEAD:new` does not exist"),
        ("HEAD", "missing", "`missing` cannot be read"),
        ("HEAD", "notes", "`HEAD:notes/a.yaml` is a symbolic link"),
        ("elsewhere", "p", "the repository has no revision `elsewhere`"),
        ("--help", "p", "the repository has no revision `--help`"),
        ("HEAD:p", "p", "the repository has no revision `HEAD:p`"),
        ("HEAD", outside, "is in none"),
    ] {
        let said = repository.0.diff(&[&format!("--git={revision}"), path]);
        said.could_not_run(&[words]);
    }
    // A link of today leads to what it leads to, which is compared with what that was.
    assert_eq!(repository.0.diff(&["--git", "HEAD", "linked"]).code, Some(0));
    let said = repository.0.diff_in("", &["--git", "HEAD", "p"], |command| {
        command.env("PATH", "/nowhere");
    });
    said.could_not_run(&["`--git` runs `git`, which is not in `PATH`"]);
}

#[test]
fn folder_that_had_no_policy_is_compared_as_one_without() {
    let repository = Repository::new(&[("p/readme.txt", "")]);
    repository.0.write("p/a.yaml", OLD);
    let said = repository.0.diff(&["--git", "HEAD", "p"]);
    assert_ne!(said.code, Some(2), "{said:?}");
}
