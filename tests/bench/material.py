"""Keys, certificates, tokens and files, all made for one run."""

import base64
import hmac
import json
import pathlib
import secrets
import subprocess
import time
import uuid

ISSUER = "https://login.bench.example"
AUDIENCE = "orders"
SUBJECT = "user-4711"
TENANT = "7f9c24e8-3b12-4fef-91e0-56a2d5a1c3b7"
INTERNAL_KEY = secrets.token_hex(24)
LIFETIME = 24 * 3600
ALGORITHMS = ("HS256", "RS256", "ES256")
SIZES = {"16k": 16 * 1024, "10m": 10 * 1024 * 1024}


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


class Material:
    """All of it, in one folder."""

    def __init__(self, folder: pathlib.Path, tokens):
        self.folder = folder
        self._tokens = tokens
        folder.mkdir()
        self.secret = secrets.token_hex(32)
        openssl(folder, "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "RS256.key")
        openssl(folder, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "ES256.key")
        for name in ("RS256", "ES256"):
            openssl(folder, "pkey", "-in", f"{name}.key", "-pubout", "-out", f"{name}.pub")
        self._certificates()
        for name, size in SIZES.items():
            (folder / name).write_bytes(b"x" * size)

    def _certificates(self):
        folder = self.folder
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
        openssl(folder, "req", "-x509", *key, "-subj", "/CN=bench", "-keyout", "ca.key", "-out", "ca.crt")
        names = {
            "server": "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth",
            "client": "subjectAltName=URI:spiffe://bench/client\nextendedKeyUsage=clientAuth",
        }
        for name, extensions in names.items():
            (folder / f"{name}.ext").write_text(extensions)
            openssl(folder, "req", *key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
            openssl(
                folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.crt",
            )  # fmt: skip
        both = (folder / "server.crt").read_text() + (folder / "server.key").read_text()
        (folder / "server.both").write_text(both)

    def claims(self, **changes):
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": SUBJECT,
            "iat": now,
            "exp": now + LIFETIME,
            "tenant": TENANT,
            "email": "user-4711@bench.example",
            "roles": ["clerk", "approver"],
            "scope": "orders:read orders:write",
        }
        return {**claims, **changes}

    def tokens(self, algorithm, count=1, **changes):
        """Signed tokens, alike but for their `jti`."""
        if algorithm == "HS256":
            return [self._with_secret(self.claims(**changes, jti=str(uuid.uuid4()))) for _ in range(count)]
        claims = json.dumps(self.claims(**changes))
        key = self.folder / f"{algorithm}.key"
        command = [self._tokens, algorithm, key, str(count), claims]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    def _with_secret(self, claims):
        """A token whose making needs no other program."""
        header = {"typ": "JWT", "alg": "HS256", "kid": "bench"}
        signed = ".".join(_base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        return f"{signed}.{_base64url(hmac.digest(self.secret.encode(), signed.encode(), 'sha256'))}"

    def jwks(self, algorithm):
        """The key that verifies, as a set."""
        return {"keys": [{"kid": "bench", "alg": algorithm, "use": "sig", **self._jwk(algorithm)}]}

    def _jwk(self, algorithm):
        if algorithm == "HS256":
            return {"kty": "oct", "k": _base64url(self.secret.encode())}
        show = ["openssl", "pkey", "-pubin", "-in", self.folder / f"{algorithm}.pub", "-outform", "DER"]
        der = subprocess.run(show, check=True, capture_output=True).stdout
        if algorithm == "ES256":
            point = der[-64:]
            return {"kty": "EC", "crv": "P-256", "x": _base64url(point[:32]), "y": _base64url(point[32:])}
        # A key of 2048 bits ends in its modulus and, in five bytes, the exponent 65537.
        return {"kty": "RSA", "n": _base64url(der[-261:-5]), "e": _base64url(der[-3:])}


def _base64url(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
