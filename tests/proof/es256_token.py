"""An ES256 token and its key set, signed with Python's cryptography.

es256_token.py AUDIENCE KEY_SET_FILE    writes the key set, prints the token
"""

import base64
import json
import sys
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def main(audience: str, key_set: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    point = key.public_key().public_numbers()
    x, y = (base64url(number.to_bytes(32, "big")) for number in (point.x, point.y))
    jwk = {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "py", "alg": "ES256", "use": "sig"}
    with open(key_set, "w", encoding="utf-8") as file:
        json.dump({"keys": [jwk]}, file)
    now = int(time.time())
    claims = {"iss": "python", "aud": audience, "sub": "snake", "iat": now, "exp": now + 300}
    parts = [{"alg": "ES256", "kid": "py"}, claims]
    message = ".".join(base64url(json.dumps(part).encode()) for part in parts)
    r, s = decode_dss_signature(key.sign(message.encode(), ec.ECDSA(hashes.SHA256())))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    print(f"{message}.{base64url(signature)}")


main(*sys.argv[1:])
