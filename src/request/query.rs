//! The parameters of a query: what stands between `&`, as forms write them (URL Standard, 5.1).

/// Iterates over the names and values of all parameters, as they are written.
pub fn parameters(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    items(query).map(name_and_value)
}

fn items(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    let query = query.strip_prefix(b"?").unwrap_or(query);
    query.split(|&byte| byte == b'&')
}

fn name_and_value(item: &[u8]) -> (&[u8], &[u8]) {
    let at = item.iter().position(|&byte| byte == b'=').unwrap_or(item.len());
    let (name, value) = item.split_at(at);
    (name, value.get(1..).unwrap_or_default())
}

/// Returns whether a written name is a name once it is decoded. A `+` is a space in forms, which no name here has.
pub fn is_name(written: &[u8], name: &str) -> bool {
    decoded(written).eq(name.bytes())
}

/// Iterates over the bytes that percent-encoding stands for. A `%` before anything but two digits is a `%`.
fn decoded(written: &[u8]) -> impl Iterator<Item = u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut rest = written;
    std::iter::from_fn(move || {
        let (&first, behind) = rest.split_first()?;
        rest = behind;
        if let [high, low, behind @ ..] = behind
            && first == b'%'
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            rest = behind;
            return Some(high << 4 | low);
        }
        Some(first)
    })
}

/// Returns a query without the parameters of some names, and empty if nothing is left. Returns `None` if it has no such
/// parameter. The other parameters stay as they are.
pub fn without(query: &[u8], is_one: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    if !parameters(query).any(|(name, _)| is_one(name)) {
        return None;
    }
    let kept: Vec<_> = items(query).filter(|item| !is_one(name_and_value(item).0)).collect();
    let kept = kept.join(&b'&');
    match kept.is_empty() {
        true => Some(kept),
        false => Some([b"?", &*kept].concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_a_name_leave_and_the_others_stay_byte_for_byte() {
        for (query, values, left) in [
            ("?access_token=T", &["T"][..], Some("")),
            ("?a=1&access_token=T&b=%41+2", &["T"], Some("?a=1&b=%41+2")),
            ("?access_token=T&a", &["T"], Some("?a")),
            ("?access%5Ftoken=T", &["T"], Some("")),
            ("?%61ccess%5ftoke%6E=T&a==1", &["T"], Some("?a==1")),
            ("?access_token=T&access%5Ftoken=U", &["T", "U"], Some("")),
            ("?access_token", &[""], Some("")),
            ("?access_token=", &[""], Some("")),
            ("?access_token==T=", &["=T="], Some("")),
            ("?a=1&&access_token=T&", &["T"], Some("?a=1&&")),
            ("?a=1;access_token=T", &[], None),
            ("?a=access_token=T", &[], None),
            ("?access+token=T&access%20token=T", &[], None),
            ("?access%255Ftoken=T&access%5token=T&access_token%=T", &[], None),
            ("?Access_Token=T&xaccess_token=T&access_token[]=T", &[], None),
            ("?", &[], None),
            ("", &[], None),
        ] {
            let is_one = |name: &[u8]| is_name(name, "access_token");
            let found: Vec<_> = parameters(query.as_bytes()).filter(|(name, _)| is_one(name)).collect();
            let found: Vec<_> = found
                .iter()
                .map(|(_, value)| std::str::from_utf8(value).unwrap())
                .collect();
            assert_eq!(found, values, "{query}");
            let kept = without(query.as_bytes(), is_one);
            assert_eq!(kept.as_deref(), left.map(str::as_bytes), "{query}");
        }
    }
}
