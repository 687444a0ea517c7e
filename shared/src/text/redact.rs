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

/// Returns whether a host is this machine itself, so that what is sent to it passes no network: `localhost`, an address
/// of the loopback interface, or the folder of a socket. A port, and the brackets of IPv6, may be there.
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim();
    if host.starts_with('/') {
        return true;
    }
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None if host.matches(':').count() == 1 => host.split(':').next().unwrap_or_default(),
        None => host,
    };
    let name = name.to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
}

fn names_password(text: &str) -> bool {
    text.to_ascii_lowercase().contains("password")
}

#[cfg(test)]
mod tests {
    use super::{is_loopback, mask};

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

    #[test]
    fn only_this_machine_is_loopback() {
        for host in [
            "localhost",
            "LOCALHOST:9092",
            "127.0.0.1:1",
            "127.9.9.9",
            "::1",
            "[::1]:9092",
            "/run/postgresql",
            "x.localhost",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "kafka:9092",
            "10.0.0.1",
            "localhost.example.com",
            "[2001:db8::1]:1",
            "2001:db8::1",
            "0.0.0.0",
            "",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
