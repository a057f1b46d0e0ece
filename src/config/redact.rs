//! Hiding the password in a URL, for every message that shows one.

use super::kind::HIDDEN;

/// `url` without its password, fit for logs and errors.
///
/// It works on any text, well-formed or not, and rather hides too much than too little: what
/// stands before the last `@` is taken as credentials even where a strict reader would disagree,
/// for people put unescaped passwords into URLs. Credentials without a user name are hidden
/// whole, as are the values of `pass` and `password` behind the `?`.
pub fn redacted_url(url: &str) -> String {
    let (scheme, rest) = match url.find("://") {
        Some(at) => url.split_at(at + 3),
        None => ("", url),
    };
    let (credentials, host) = match rest.rsplit_once('@') {
        Some((before, host)) => (Some(before), host),
        None => (None, rest),
    };
    let mut shown = scheme.to_owned();
    if let Some(credentials) = credentials {
        if let Some((user, _)) = credentials.split_once(':') {
            shown.push_str(user);
            shown.push(':');
        }
        shown.push_str(HIDDEN);
        shown.push('@');
    }
    shown.push_str(&redacted_query(host));
    shown
}

/// Redis URLs of Unix sockets carry the password as `?pass=...`.
fn redacted_query(rest: &str) -> String {
    let Some((path, query)) = rest.split_once('?') else {
        return rest.to_owned();
    };
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if name.to_ascii_lowercase().contains("pass") => {
                format!("{name}={HIDDEN}")
            }
            _ => pair.to_owned(),
        })
        .collect();
    format!("{path}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden_wherever_they_stand() {
        for (url, shown) in [
            ("embedded:", "embedded:"),
            ("redis://cache:6379/2", "redis://cache:6379/2"),
            (
                "redis://app:s3@cache:6379",
                "redis://app:<hidden>@cache:6379",
            ),
            ("redis://:s3@cache", "redis://:<hidden>@cache"),
            ("redis://s3@cache", "redis://<hidden>@cache"),
            (
                "redis://app:s3/s3@s3?s3@cache",
                "redis://app:<hidden>@cache",
            ),
            ("redis://a:s3@h1,a:s3@h2", "redis://a:<hidden>@h2"),
            ("rediss://:s3@cache", "rediss://:<hidden>@cache"),
            (
                "unix:///run/r.sock?db=1&pass=s3",
                "unix:///run/r.sock?db=1&pass=<hidden>",
            ),
            (
                "unix:///r?PASSWORD=s3&db=1",
                "unix:///r?PASSWORD=<hidden>&db=1",
            ),
            ("s3@cache", "<hidden>@cache"),
            ("redis:app:s3@cache", "redis:<hidden>@cache"),
            ("", ""),
        ] {
            assert_eq!(redacted_url(url), shown);
        }
    }
}
