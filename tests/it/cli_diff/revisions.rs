//! `sidegate diff --git`: the same path, as it was.

use std::{fs, os::unix::fs::symlink, process::Command};

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
    let repository = Repository::new(&[("p/a.yaml", OLD)]);
    let outside = Folder::new(&[("a.yaml", OLD)]);
    let outside = outside.path().to_str().unwrap();
    for (revision, path, words) in [
        ("HEAD", "missing", "`missing` cannot be read"),
        ("elsewhere", "p", "the repository has no revision `elsewhere`"),
        ("--help", "p", "`--help` is not a revision"),
        ("-n1", "p", "`-n1` is not a revision"),
        ("^HEAD", "p", "`^HEAD` is not a revision"),
        ("", "p", "`` is not a revision"),
        ("HEAD..HEAD", "p", "the repository has no revision `HEAD..HEAD`"),
        ("HEAD:p", "p", "the repository has no revision `HEAD:p`"),
        ("HEAD", outside, "is in none"),
    ] {
        let said = repository.0.diff(&[&format!("--git={revision}"), path]);
        said.could_not_run(&[words]);
    }
    let said = repository.0.diff_in("", &["--git", "HEAD", "p"], |command| {
        command.env("PATH", "/nowhere");
    });
    said.could_not_run(&["`--git` runs `git`, which is not in `PATH`"]);
}

/// Makes a link, or lets it lead elsewhere.
fn link(repository: &Repository, name: &str, target: &str) {
    let path = repository.0.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _ = fs::remove_file(&path);
    symlink(target, path).unwrap();
}

#[test]
fn link_leads_where_it_led_at_the_revision() {
    let repository = Repository::new(&[
        ("first/a.yaml", OLD),
        ("second/a.yaml", &slower()),
        ("first/sidegate.yaml", "version: 1\npolicies: ../current\n"),
        ("conf/readme.txt", ""),
    ]);
    for (name, target) in [
        ("current", "first"),
        ("p/a.yaml", "../current/../first/./a.yaml"),
        ("conf/sidegate.yaml", "../first/sidegate.yaml"),
        ("through", "p"),
    ] {
        link(&repository, name, target);
    }
    repository.commit();
    link(&repository, "current", "second");
    for path in [
        "current",
        "current/a.yaml",
        "p",
        "p/a.yaml",
        "through",
        "through/a.yaml",
    ] {
        link(&repository, "p/a.yaml", "../second/a.yaml");
        let said = repository.0.diff(&["--git", "HEAD", path]);
        assert_eq!(said.code, Some(1), "{path}: {said:?}");
        assert!(said.stdout.contains("routes[0].timeout: 30s -> 5s"), "{path}: {said:?}");
    }
    // What the targets were is compared, too: here, it is the same.
    link(&repository, "current", "first");
    link(&repository, "p/a.yaml", "../first/a.yaml");
    for path in ["current", "p", "through/a.yaml", "first/../current"] {
        assert_eq!(repository.0.diff(&["--git", "HEAD", path]).code, Some(0), "{path}");
    }
    // The path of the policies starts where the link of the configuration stands.
    link(&repository, "current", "second");
    let said = repository.0.diff(&["--git", "HEAD", "conf/sidegate.yaml"]);
    assert!(said.stdout.contains("routes[0].timeout: 30s -> 5s"), "{said:?}");
    let said = repository
        .0
        .diff(&["--git", "HEAD", "current", "--output", "json"])
        .json();
    assert_eq!(said["settings"][0]["place"], "current/a.yaml:12:45");
}

#[test]
fn link_that_led_out_of_the_repository_or_nowhere_is_not_followed() {
    let outside = Folder::new(&[("a.yaml", OLD)]);
    let repository = Repository::new(&[("p/a.yaml", OLD), ("q/readme.txt", "")]);
    let absolute = outside.path().to_str().unwrap();
    for (name, target) in [
        ("absolute", absolute),
        ("above", "../elsewhere"),
        ("in/a.yaml", "../../a.yaml"),
        ("gone", "was/never"),
        ("circle", "./circle"),
        ("file/a.yaml", "../p"),
        ("below", "p/a.yaml/b"),
    ] {
        link(&repository, name, target);
    }
    repository.commit();
    for (name, words) in [
        ("absolute", "which is outside of the repository"),
        ("above", "`HEAD:above` leads out of the repository"),
        ("in", "`HEAD:in/a.yaml` leads out of the repository"),
        ("gone", "`HEAD:gone` leads to `was`, which does not exist"),
        ("circle", "`HEAD:circle` leads through too many symbolic links"),
        ("file", "`HEAD:file/a.yaml` is a folder"),
        ("below", "`HEAD:p/a.yaml` is a file, and no folder"),
    ] {
        let path = repository.0.path().join(name);
        if path.is_symlink() {
            fs::remove_file(&path).unwrap();
        } else {
            fs::remove_dir_all(&path).unwrap();
        }
        repository.0.write(&format!("{name}/a.yaml"), OLD);
        repository.0.diff(&["--git", "HEAD", name]).could_not_run(&[words]);
    }
}

#[test]
fn folder_that_had_no_policy_is_compared_as_one_without() {
    let repository = Repository::new(&[("p/readme.txt", "")]);
    repository.0.write("p/a.yaml", OLD);
    let said = repository.0.diff(&["--git", "HEAD", "p"]);
    assert_ne!(said.code, Some(2), "{said:?}");
}

#[test]
fn path_that_the_revision_does_not_have_is_new() {
    let repository = Repository::new(&[("p/a.yaml", OLD), ("readme.txt", "")]);
    repository.git(&["mv", "p/a.yaml", "p/b.yaml"]);
    repository.0.write("new/a.yaml", OLD);
    repository
        .0
        .write("conf/sidegate.yaml", "version: 1\npolicies: ../new\n");
    for (path, file) in [
        ("new", "new/a.yaml"),
        ("new/a.yaml", "new/a.yaml"),
        ("p/b.yaml", "p/b.yaml"),
        ("conf/sidegate.yaml", "conf/../new/a.yaml"),
    ] {
        let said = repository.0.diff(&["--git", "HEAD", path]);
        assert_eq!(said.code, Some(1), "{path}: {said:?}");
        let words = format!("sidegate: `HEAD:{path}` does not exist: all that `{path}` has is new\n");
        assert!(said.stderr.contains(&words), "{path}: {said:?}");
        assert!(
            said.stdout.contains("/api/health ") && said.stdout.contains(&format!(" {file}:12:13\n")),
            "{path}: {said:?}"
        );
        let page = repository
            .0
            .diff(&["--git", "HEAD", path, "--output", "markdown"])
            .stdout;
        assert!(page.contains(&format!("\\`HEAD:{path}\\` does not exist")), "{page}");
        repository
            .0
            .diff(&["--git", "elsewhere", path])
            .could_not_run(&["the repository has no revision `elsewhere`"]);
    }
    repository
        .0
        .diff(&["--git", "HEAD", "missing"])
        .could_not_run(&["`missing` cannot be read"]);
    repository.git(&["add", "-A"]);
    let said = repository.0.diff(&["--git", "HEAD", "p"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
}
