//! Who may log in to auth-svc: four accounts in two tenants, all of them published.
//!
//! A password is compared here and goes nowhere else.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use uuid::{Uuid, uuid};

/// The tenant that a user logs in to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tenant {
    /// The tenant of the Integration Hub's users, which is the one of a login that names none.
    Hub,
    /// The tenant of the Wallet's users.
    Wallet,
}

impl Tenant {
    pub(super) const ALL: [Self; 2] = [Self::Hub, Self::Wallet];

    pub(super) const fn id(self) -> Uuid {
        match self {
            Self::Hub => uuid!("a0000001-0000-0000-0000-000000000001"),
            Self::Wallet => uuid!("00000000-0000-4000-a000-000000000001"),
        }
    }

    pub(super) fn find(id: Uuid) -> Option<Self> {
        Self::ALL.into_iter().find(|tenant| tenant.id() == id)
    }

    /// How long an access token of this tenant is valid, in seconds.
    pub(super) const fn access_token_seconds(self) -> i64 {
        match self {
            Self::Hub => 3600,
            Self::Wallet => 86_400,
        }
    }
}

/// One of the four accounts, which exist in each tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    Admin,
    Organizer,
    User,
    Developer,
}

impl Account {
    pub(super) const ALL: [Self; 4] = [Self::Admin, Self::Organizer, Self::User, Self::Developer];

    pub(super) const fn subject(self) -> Uuid {
        match self {
            Self::Admin => uuid!("b0000001-0000-4000-8000-000000000001"),
            Self::Organizer => uuid!("b0000001-0000-4000-8000-000000000002"),
            Self::User => uuid!("b0000001-0000-4000-8000-000000000003"),
            Self::Developer => uuid!("b0000001-0000-4000-8000-000000000004"),
        }
    }

    pub(super) const fn email(self) -> &'static str {
        match self {
            Self::Admin => "admin@eventzr.com",
            Self::Organizer => "organizer@eventzr.com",
            Self::User => "user@eventzr.com",
            Self::Developer => "dev@eventzr.com",
        }
    }

    pub(super) const fn roles(self) -> &'static [&'static str] {
        match self {
            Self::Admin => &["admin", "organizer", "user"],
            Self::Organizer => &["organizer", "user"],
            Self::User => &["user"],
            Self::Developer => &["developer", "user"],
        }
    }

    pub(super) const fn scopes(self) -> &'static [&'static str] {
        match self {
            Self::Admin => &["read", "write", "admin"],
            Self::Organizer | Self::Developer => &["read", "write"],
            Self::User => &["read"],
        }
    }

    const fn password(self, tenant: Tenant) -> &'static str {
        match (tenant, self) {
            (Tenant::Hub, Self::Admin) => "Admin123!",
            (Tenant::Hub, Self::Organizer) => "Organizer123!",
            (Tenant::Hub, Self::User) => "User123!",
            (Tenant::Hub, Self::Developer) | (Tenant::Wallet, _) => "Password123!",
        }
    }
}

/// A user who proved to be one, by password or by refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    pub(super) tenant: Tenant,
    pub(super) account: Account,
}

impl User {
    /// The user of `tenant` with this email and this password.
    pub(super) fn log_in(tenant: Tenant, email: &str, password: &str) -> Option<Self> {
        let found = Account::ALL
            .into_iter()
            .find(|account| account.email().eq_ignore_ascii_case(email));
        // An unknown email is compared as well, so that it takes as long as a wrong password.
        let expected = found.unwrap_or(Account::User).password(tenant);
        let matches = passwords_are_equal(expected, password);
        found.filter(|_| matches).map(|account| Self { tenant, account })
    }
}

/// Compares digests, whose length says nothing about the length of what they are made from.
fn passwords_are_equal(expected: &str, presented: &str) -> bool {
    let [expected, presented] = [expected, presented].map(|text| digest(&SHA256, text.as_bytes()));
    verify_slices_are_equal(expected.as_ref(), presented.as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_needs_the_password_of_its_tenant() {
        use Account::{Admin, Developer, Organizer};
        use Tenant::{Hub, Wallet};
        for (tenant, email, password, account) in [
            (Hub, "admin@eventzr.com", "Admin123!", Some(Admin)),
            (Hub, "organizer@eventzr.com", "Organizer123!", Some(Organizer)),
            (Hub, "user@eventzr.com", "User123!", Some(Account::User)),
            (Hub, "dev@eventzr.com", "Password123!", Some(Developer)),
            (Hub, "Admin@Eventzr.com", "Admin123!", Some(Admin)),
            (Hub, "admin@eventzr.com", "Password123!", None),
            (Hub, "admin@eventzr.com", "admin123!", None),
            (Hub, "admin@eventzr.com", "Admin123", None),
            (Hub, "admin@eventzr.com", "", None),
            (Hub, "nobody@eventzr.com", "User123!", None),
            (Hub, "", "", None),
            (Wallet, "admin@eventzr.com", "Password123!", Some(Admin)),
            (Wallet, "organizer@eventzr.com", "Password123!", Some(Organizer)),
            (Wallet, "user@eventzr.com", "Password123!", Some(Account::User)),
            (Wallet, "dev@eventzr.com", "Password123!", Some(Developer)),
            (Wallet, "admin@eventzr.com", "Admin123!", None),
            (Wallet, "nobody@eventzr.com", "Password123!", None),
        ] {
            let user = User::log_in(tenant, email, password);
            assert_eq!(
                user,
                account.map(|account| User { tenant, account }),
                "{tenant:?} {email} {password}"
            );
        }
    }

    #[test]
    fn a_tenant_is_found_by_its_id() {
        for tenant in Tenant::ALL {
            assert_eq!(Tenant::find(tenant.id()), Some(tenant));
        }
        assert_eq!(Tenant::find(Uuid::nil()), None);
    }
}
