//! Whether a delivery was really sent by somebody who knows a webhook secret.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// How `X-Hub-Signature-256` begins.
const PREFIX: &str = "sha256=";

/// Why a signature was refused. The receiver answers every one of them with 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the delivery is not signed; set the webhook's secret on the forge to the server's")]
    Missing,
    #[error("the signature is not `sha256=` and 64 hexadecimal digits")]
    Malformed,
    #[error("the signature does not fit; the webhook's secret on the forge is not the server's")]
    Wrong,
    #[error("the server has no webhook secret; name its variable in `webhook_secret_envs`")]
    NoSecret,
}

/// Checks `X-Hub-Signature-256`, an HMAC-SHA256 of the body as it arrived, in constant time.
///
/// Any of `secrets` will do, so that a secret can be rotated without losing deliveries. An empty
/// secret is none: with it, everybody could sign.
pub fn verify(
    secrets: &[SecretString],
    signature_header: Option<&str>,
    body: &[u8],
) -> Result<(), SignatureError> {
    let mut secrets = secrets
        .iter()
        .filter(|secret| !secret.expose_secret().is_empty())
        .peekable();
    if secrets.peek().is_none() {
        return Err(SignatureError::NoSecret);
    }
    let signature = signature_header.ok_or(SignatureError::Missing)?;
    let digits = signature
        .strip_prefix(PREFIX)
        .ok_or(SignatureError::Malformed)?;
    let signature = hex::decode(digits).map_err(|_| SignatureError::Malformed)?;
    if secrets.any(|secret| fits(secret, &signature, body)) {
        Ok(())
    } else {
        Err(SignatureError::Wrong)
    }
}

fn fits(secret: &SecretString, signature: &[u8], body: &[u8]) -> bool {
    // HMAC takes keys of every length (RFC 2104), so the error cannot come; it would mean "no".
    Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .is_ok_and(|mac| mac.chain_update(body).verify_slice(signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GitHub's documentation, "Validating webhook deliveries".
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const SIGNATURE: &str =
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn secrets(secrets: &[&str]) -> Vec<SecretString> {
        secrets
            .iter()
            .map(|secret| SecretString::from(*secret))
            .collect()
    }

    #[test]
    fn githubs_own_example_is_accepted() {
        assert_eq!(verify(&secrets(&[SECRET]), Some(SIGNATURE), BODY), Ok(()));
    }

    #[test]
    fn any_of_several_secrets_will_do() {
        assert_eq!(
            verify(&secrets(&["new", SECRET]), Some(SIGNATURE), BODY),
            Ok(())
        );
        assert_eq!(
            verify(&secrets(&[SECRET, "new"]), Some(SIGNATURE), BODY),
            Ok(())
        );
        assert_eq!(
            verify(&secrets(&["new"]), Some(SIGNATURE), BODY),
            Err(SignatureError::Wrong)
        );
    }

    #[test]
    fn one_changed_byte_anywhere_is_refused() {
        let secrets = secrets(&[SECRET]);
        assert_eq!(
            verify(&secrets, Some(SIGNATURE), b"Hello, World?"),
            Err(SignatureError::Wrong)
        );
        let last_digit_changed = SIGNATURE.replace("3e17", "3e18");
        assert_eq!(
            verify(&secrets, Some(&last_digit_changed), BODY),
            Err(SignatureError::Wrong)
        );
        let truncated = &SIGNATURE[..SIGNATURE.len() - 2];
        assert_eq!(
            verify(&secrets, Some(truncated), BODY),
            Err(SignatureError::Wrong)
        );
        assert_eq!(
            verify(&secrets, Some("sha256="), BODY),
            Err(SignatureError::Wrong)
        );
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        let secrets = secrets(&[SECRET]);
        assert_eq!(verify(&secrets, None, BODY), Err(SignatureError::Missing));
        for bad in [
            "",
            "sha256",
            "sha1=0a4d55a8d778e5022fab701977c5d840bbc486d0",
            "sha256=zz",
            &SIGNATURE[7..],
        ] {
            assert_eq!(
                verify(&secrets, Some(bad), BODY),
                Err(SignatureError::Malformed),
                "{bad}"
            );
        }
    }

    #[test]
    fn an_empty_secret_lets_nobody_in() {
        let mac = Hmac::<Sha256>::new_from_slice(b"")
            .unwrap()
            .chain_update(BODY);
        let forged = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        assert_eq!(
            verify(&secrets(&[""]), Some(&forged), BODY),
            Err(SignatureError::NoSecret)
        );
        assert_eq!(
            verify(&secrets(&["", SECRET]), Some(&forged), BODY),
            Err(SignatureError::Wrong)
        );
        assert_eq!(
            verify(&[], Some(SIGNATURE), BODY),
            Err(SignatureError::NoSecret)
        );
    }
}
