use super::*;

/// The text as an excerpt may show it: each line up to its first secret.
fn shown(text: &str) -> String {
    let masks = Masks::of(text);
    let mut start = 0;
    let mut lines = String::new();
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        match masks.first_in(&(start..end)) {
            Some(at) => lines.extend([text.get(start..at).unwrap(), HIDDEN, "\n"]),
            None => lines.push_str(line),
        }
        start = end;
    }
    lines
}

/// No line of the text shows the marker.
#[track_caller]
fn hidden(text: &str) {
    let left = shown(text);
    assert!(!left.contains("MARKER"), "{text}\nis shown as\n{left}");
}

#[test]
fn a_value_below_a_key_that_speaks_of_a_secret_is_hidden_in_every_shape() {
    for key in [
        "secret",
        "password",
        "Password",
        "pasword",
        "secrt",
        "client-secret",
        "api_key",
        "token",
        "passphrase",
    ] {
        for shape in [
            "MARKER-0123456789",
            "\"MARKER-0123456789\"",
            "'MARKER-0123456789'",
            "\"MARKER-0123456789\\x41\"",
            "\"MARKER-0123456789",
            "[MARKER-0123456789, 2]",
            "[[MARKER-0123456789]]",
            "[MARKER-0123456789",
            "{ MARKER-0123456789 }",
            "{ value: MARKER-0123456789 }",
            "{ env: S, default: MARKER-0123456789 }",
            "{ env: [MARKER-0123456789] }",
            "{ env: S, value: MARKER-0123456789",
            "!MARKER-0123456789",
            "!MARKER x",
            "&MARKER-0123456789 x",
            "*MARKER-0123456789",
            "@MARKER-0123456789",
            "%MARKER-0123456789",
            "|\n    MARKER-0123456789\n",
            ">-\n    one\n    MARKER-0123456789\n",
            "\"one\n    MARKER-0123456789\"\n",
            "\n  - MARKER-0123456789\n  - 2\n",
            "\n    value: MARKER-0123456789\n",
            "\n  - MARKER-0123456789\n  - [\n",
            "|\n    MARKER-0123456789\n\tx: {\n",
        ] {
            for around in [
                format!("a:\n  {key}: {shape}\n"),
                format!("a:\n  {key} : {shape}\n"),
                format!("a:\n  \"{key}\": {shape}\n"),
                format!("a:\n  - {{ {key}: {shape}, foo: 1 }}\n"),
                format!("a:\n  {key}: {shape}\nb: @\n"),
                format!("a:\n  x: 1 # {key}: {shape}\nb: [\n"),
            ] {
                hidden(&around);
            }
        }
    }
}

#[test]
fn a_url_with_a_user_and_pem_are_hidden_wherever_they_stand() {
    let url = "redis://:MARKER-0123456789#/?@h";
    for text in [
        format!("store: '{url}'\n"),
        format!("store: {url}\nb: [\n"),
        format!("store: {{ redis: {{ url: '{url}', foo: 1 }} }}\n"),
        format!("store: {{ redis: {{ url: {{ env: U, default: '{url}' }} }} }}\n"),
        format!("anything: ['{url}']\n"),
        format!("anything: {{ '{url}' }}\n"),
        format!("? '{url}'\n: x\n"),
        format!("a: &x '{url}'\nb: *x\n"),
        "upstream: { url: 'u:MARKER-0123456789@h' }\n".to_owned(),
        "key: |\n  -----BEGIN PRIVATE KEY-----\n  MARKER-0123456789\n  -----END PRIVATE KEY-----\n".to_owned(),
        "key: |\n  -----BEGIN PRIVATE KEY-----\n  MARKER-0123456789\n  -----END PRIVATE KEY-----\nb: [\n".to_owned(),
    ] {
        hidden(&text);
    }
}

#[test]
fn slip_around_a_secret_does_not_show_it() {
    for text in [
        "keys: { name: a, secret:MARKER-0123456789 }\n",
        "a: { name: a, secret=MARKER-0123456789 }\n",
        "store: { redis: { url: redis://:MARKER-0123456789 } }\n",
        "store: redis://h?password=MARKER-0123456789\n",
        "secret: { env: \"${A:-MARKER-0123456789}\" }\n",
        "secret: { env: \"A=MARKER-0123456789\" }\n",
        "tls: { client_key: eyJhbGciOiJIUzI1NiJ9.MARKER }\n",
        "tls: { key: MARKER0123456789abcdefMARKER0123456789abcdefMARKER0123456789abcdefMARKER0123456789abcdef= }\n",
        "secret: { env: A } MARKER-0123456789 }\n",
        "keys:\n  - name: a\n    sha256: 00\n  - name: b\n    key: @MARKER\n",
    ] {
        hidden(text);
    }
}

#[test]
fn a_message_that_quotes_a_secret_is_cleaned() {
    for (text, quoted) in [
        ("secret: MARKER-0123456789\n", "MARKER-0123456789"),
        ("secret: [1, MARKER-0123456789]\n", "MARKER-0123456789"),
        ("secret: { MARKER-0123456789: x }\n", "MARKER-0123456789"),
        ("secret: \"MARKER\\t0123456789\"\n", "MARKER\t0123456789"),
        ("secret: \"MARKER\\t0123456789\"\n", "MARKER\\t0123456789"),
        ("a: 'http://u:MARKER@h'\n", "http://u:MARKER@h"),
        ("a: { secret:MARKER }\n", "secret:MARKER"),
        ("a: |\n  -----BEGIN X-----\n  MARKER\n", "-----BEGIN X-----\nMARKER\n"),
    ] {
        let message = Masks::of(text).clean(&format!("`{quoted}` is unknown"));
        assert_eq!(message, format!("`{HIDDEN}` is unknown"), "{text}");
    }
    let part = Masks::of("a: 'https://u:MARKER@h/b'\n").clean("`https://u:MARKER@h`");
    assert_eq!(part, format!("`https://{HIDDEN}@h`"));
}

#[test]
fn an_alias_hides_what_it_stands_for() {
    hidden("a: &x MARKER-0123456789\npassword: *x\n");
    hidden("a: &x [MARKER-0123456789]\nsecret: *x\n");
}

#[test]
fn what_no_known_field_explains_among_keys_is_hidden() {
    for value in [
        "MARKER-0123456789",
        "[MARKER-0123456789]",
        "{ hs256: MARKER-0123456789 }",
        "{ MARKER-0123456789 }",
        "[{ name: a, key: MARKER-0123456789 }]",
        "{ jwks: { keys: [{ kty: oct, k: MARKER-0123456789 }] } }",
        "{ jwks: MARKER-0123456789 }",
        "\n  - MARKER-0123456789\n",
        "\n  hs256: MARKER-0123456789\n",
        "\n  - name: a\n    key: MARKER-0123456789\n",
        "\n  - name: a\n    sha256: MARKER-0123456789\n",
        "[{ name: a, sha256: MARKER-0123456789 }]",
    ] {
        for key in ["keys", "internal_key"] {
            hidden(&format!("{key}: {value}\n"));
            hidden(&format!("{key}: {value}\nb: [\n"));
        }
    }
}

#[test]
fn what_holds_no_secret_is_shown() {
    let text = "version: 1
service: tokens-svc
upstream: { url: 'https://h', client_key: a.key }
jwt:
  issuers:
    - issuer: https://a
      keys: { secret: { env: SECRET } }
    - keys: { jwks: { url: https://h/keys, bearer_token_file: t } }
    - keys: { oidc: https://a }
internal_key:
  header: x-key
  keys:
    - { name: a, secret: { file: secrets/a }, expires: 2027-01-01T00:00:00Z }
    - { name: b, sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 }
routes:
  - { path: '/users/@me', auth: public }
";
    assert_eq!(shown(text), text);
    let broken = format!("{text}  - {{ path: /x/*, auth: [ }}\n");
    assert!(yaml::parse(&broken).is_err());
    let left = shown(&broken);
    for line in ["secret: { env: SECRET }", "auth: [ }", "secret: { file: secrets/a }"] {
        assert!(left.contains(line), "{line} in {left}");
    }
}

#[test]
fn a_message_shows_a_url_without_its_user() {
    for (url, want) in [
        ("http://h/a", "http://h/a"),
        ("http://u:p@h", "http://***@h"),
        ("http://u:p/@@h", "http://***@h"),
        ("u:p@h", "***@h"),
    ] {
        assert_eq!(without_user(url), want);
    }
}
