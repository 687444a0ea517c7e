//! Certificates, made anew for each run.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use stack::parts::guard::Guard;

/// A certificate and its key, PEM.
pub(super) struct Identity {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// Files of the test's certificates.
pub(super) struct Authority {
    dir: PathBuf,
    _guard: Arc<Guard>,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// Returns the CA that servers and clients are certified by.
    pub(super) fn ours() -> &'static Self {
        static OURS: OnceLock<Authority> = OnceLock::new();
        OURS.get_or_init(|| Self::new("ours"))
    }

    /// Returns a CA that nobody is certified by.
    pub(super) fn strange() -> &'static Self {
        static STRANGE: OnceLock<Authority> = OnceLock::new();
        STRANGE.get_or_init(|| Self::new("strange"))
    }

    fn new(name: &str) -> Self {
        let (layout, guard) = stack::testing::scratch().unwrap();
        let dir = layout.data();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, format!("Firewatch test CA ({name})"));
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { dir, _guard: guard, issuer };
        authority.write("ca.pem", &authority.issuer.pem());
        authority
    }

    /// Writes a file beside the certificates.
    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.dir.join(name);
        std::fs::write(&path, text).unwrap();
        // PostgreSQL refuses keys that others may read
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub(super) fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// Certifies `name`, which is a host or a user.
    pub(super) fn identity(&self, name: &str, expired: bool) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = if expired { date_time_ymd(2021, 1, 1) } else { date_time_ymd(2100, 1, 1) };
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// Returns the files of a certificate and its key.
    pub(super) fn files(&self, file: &str, name: &str) -> (PathBuf, PathBuf) {
        let Identity { certificate, key } = self.identity(name, false);
        (self.write(&format!("{file}.pem"), &certificate), self.write(&format!("{file}.key"), &key))
    }
}

pub(super) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
