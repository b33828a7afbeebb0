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
fn file_without_a_mapping_is_hidden() {
    for text in [
        "MARKER\n",
        "MARKER-0123456789",
        "'MARKER-0123456789'\n",
        "\"MARKER-0123456789\n",
        "one\nMARKER-0123456789\n",
        "correct horse MARKER battery\n",
        "correct horse MARKER battery\n{\n",
        "user:MARKER\n",
        "user:MARKER\nb: [\n",
        "A=b\nB=MARKER\n",
        "A=b\nexport JWT_SECRET=MARKER\nC: [\n",
        "A=b\nexport URL=redis://:MARKER@h\nC: [\n",
        "- MARKER\n",
        "- [MARKER]\n",
        "- a: MARKER\n",
        "[MARKER, b]\n",
        "[MARKER, b\n",
        "{ MARKER\n",
        "|\n  MARKER\n",
        "-----BEGIN RSA PRIVATE KEY-----\nMARKER\n-----END RSA PRIVATE KEY-----\n",
        "MARKER\n-----END RSA PRIVATE KEY-----\n",
        "MARKER: [\nb\n  MARKER\n",
        "# MARKER-0123456789\n[\n",
        "\u{feff}MARKER\n\tb: [\n",
        "@MARKER\n",
        "%MARKER\n",
        "*MARKER\n",
    ] {
        // A name with a colon is a field.
        hidden(&text.replace("MARKER: [", "a: ["));
    }
}

#[test]
fn slip_in_the_indentation_of_a_secret_does_not_show_it() {
    for key in ["secret", "password", "api_key", "client-secret", "token"] {
        for shape in [
            "\nMARKER\n",
            "\n- MARKER\n",
            "\n- value: MARKER\n",
            "\n\n- [MARKER]\n",
            "\n[MARKER]\n",
            "\n'MARKER'\n",
            "|\nMARKER\n",
            ">-\n one\nMARKER\ntwo MARKER\n",
            "|\n    one\n  MARKER\n MARKER\n",
            "|\n\tMARKER\n",
            " # comment\nMARKER\n",
        ] {
            for broken in ["b: [\n", "\tb: 1\n", "b: @c\n"] {
                hidden(&format!("a:\n  {key}: {shape}{broken}"));
                hidden(&format!("a:\n  - {key}: {shape}{broken}"));
                hidden(&format!("{broken}a:\n  {key}: {shape}"));
            }
        }
    }
    for items in [
        "- name: a\n  key: MARKER\n",
        "- { name: a, key: MARKER }\n",
        "- MARKER\n",
    ] {
        hidden(&format!("internal_key:\n  keys:\n{items}b: [\n"));
        hidden(&format!("b: [\n  internal_key:\n    keys:\n\n  {items}"));
    }
}

#[test]
fn text_that_looks_like_a_secret_is_hidden_beside_a_slip() {
    for value in [
        "MARKER0123456789ab",
        "'MARKER/0123456789+ab=='",
        "[a, MARKER-0123456789-ab]",
        "{ b: MARKER_0123456789_ab }",
        "eyJhbGciOiJIUzI1NiJ9.MARKER",
        "redis://:MARKER",
        "redis://h/0?a=b&password=MARKER",
        "https://h/x?sig=MARKER",
        "u:MARKER@h",
    ] {
        for broken in ["b: [\n", "\tb: 1\n", "---\nb: 1\n", "b: *c\n"] {
            hidden(&format!("unheard_of: {value}\n{broken}"));
            hidden(&format!("store: {value}\n{broken}"));
            hidden(&format!("- a: {value}\n{broken}"));
        }
    }
    let shown_still =
        "prefix /orders\nservice:orders\nhosts: [*.example.com]\nroutes:\n  - { path: /{id}, auth: public }\n";
    assert_eq!(shown(shown_still), shown_still);
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

#[test]
fn url_is_shown_without_user_and_values_of_its_query() {
    for (url, want) in [
        ("https://a.example/keys", "https://a.example/keys"),
        ("https://u:p@a.example/keys", "https://***@a.example/keys"),
        (
            "https://a.example/keys?code=s3cret&v=1",
            "https://a.example/keys?code=***&v=***",
        ),
        ("https://a.example/keys?s3cret", "https://a.example/keys?***"),
        ("https://a.example/keys?", "https://a.example/keys?"),
        ("https://a.example/?a=b?c=d#e", "https://a.example/?a=***#e"),
        ("https://a.example/?a=b@c", "https://***@c"),
        ("unix:/run/a.sock", "unix:/run/a.sock"),
    ] {
        assert_eq!(shown_url(url), want, "{url}");
    }
}
