//! When CAs and revocation lists come to their end. Reads no file.

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

/// When the first of some CAs expires that has not: one that has is of no use beside its successor. `None`
/// if none is left.
pub(super) fn of_authorities<'c>(
    authorities: impl IntoIterator<Item = &'c CertificateDer<'c>>,
    now: i64,
) -> Option<i64> {
    let ends = authorities.into_iter().filter_map(|der| {
        let (_, ca) = x509_parser::parse_x509_certificate(der).ok()?;
        Some(ca.validity().not_after.timestamp())
    });
    ends.filter(|end| *end >= now).min()
}

/// When the first of some lists is due to be replaced, if one says it.
pub(super) fn of_lists(lists: &[CertificateRevocationListDer<'_>]) -> Option<i64> {
    let due = lists.iter().filter_map(|der| {
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        list.next_update().map(|time| time.timestamp())
    });
    due.min()
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa, KeyIdMethod,
        KeyPair, SerialNumber, date_time_ymd,
    };

    use super::*;

    fn authority(last_year: i32) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = date_time_ymd(last_year, 1, 1);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn seconds(year: i32) -> i64 {
        date_time_ymd(year, 1, 1).unix_timestamp()
    }

    #[test]
    fn the_first_authority_to_end_counts_and_one_that_has_ended_does_not() {
        for (years, want) in [
            (&[2040][..], Some(2040)),
            (&[2050, 2040], Some(2040)),
            (&[2021, 2040], Some(2040)),
            (&[2021], None),
            (&[], None),
        ] {
            let authorities: Vec<_> = years.iter().map(|year| authority(*year).der().clone()).collect();
            let found = of_authorities(&authorities, seconds(2030));
            assert_eq!(found, want.map(seconds), "{years:?}");
        }
    }

    #[test]
    fn the_first_list_that_is_due_counts_even_if_it_is_late() {
        let list = |year| {
            let params = CertificateRevocationListParams {
                this_update: date_time_ymd(2020, 1, 1),
                next_update: date_time_ymd(year, 1, 1),
                crl_number: SerialNumber::from(1),
                issuing_distribution_point: None,
                revoked_certs: Vec::new(),
                key_identifier_method: KeyIdMethod::Sha256,
            };
            params.signed_by(&authority(2090)).unwrap().der().clone()
        };
        assert_eq!(of_lists(&[list(2050), list(2021)]), Some(seconds(2021)));
        assert_eq!(of_lists(&[]), None);
    }
}
