//! Addresses that may hold a password, made fit to be printed.

/// Returns an address without its password: that of `scheme://user:password@place`, of a URL's query, or of the
/// `key=value` form that PostgreSQL takes. What holds no password is returned as it is.
pub fn mask(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
        // quoting rules differ between those who read this form, so nothing of it is shown
        let forgot_scheme = address.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
        let hidden = forgot_scheme || names_password(address);
        return if hidden { "***".to_owned() } else { address.to_owned() };
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) if names_password(query) && !query.contains('@') => (rest, "?***"),
        _ => (rest, ""),
    };
    match rest.rsplit_once('@') {
        Some((user, place)) if user.contains(':') => {
            let name = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{name}:***@{place}{query}")
        }
        _ if names_password(rest) => "***".to_owned(),
        _ => format!("{scheme}://{rest}{query}"),
    }
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
}

fn names_password(text: &str) -> bool {
    text.to_ascii_lowercase().contains("password")
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn a_password_is_never_shown() {
        for (address, shown) in [
            ("postgres://u:p@ss@db:5432/x", "postgres://u:***@db:5432/x"),
            ("postgres://u:p?ss@db/x", "postgres://u:***@db/x"),
            ("postgres://db/x?user=u&password=secret", "postgres://db/x?***"),
            ("postgres://u:secret@db/x?sslpassword=secret", "postgres://u:***@db/x?***"),
            ("postgres://db/x?password=se@cret", "***"),
            ("host=db user=u password=secret", "***"),
            ("host=db PASSWORD = 'a secret'", "***"),
            ("host=db password=secret://x", "***"),
            ("u:secret@db/x", "***"),
        ] {
            assert_eq!(mask(address), shown);
        }
    }

    #[test]
    fn an_address_without_a_password_is_shown_as_it_is() {
        let addresses = [
            "postgres://u@db/x?sslmode=require",
            "host=db user=u dbname=x",
            "127.0.0.1:9092,[::1]:9092",
            "Firewatch <firewatch@example.com>",
            "",
        ];
        assert_eq!(addresses.map(mask), addresses);
    }
}
