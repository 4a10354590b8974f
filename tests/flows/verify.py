"""What a service in Python does with our tokens: ``python verify.py JWKS_URL TOKEN`` prints the claims, as JSON."""

import json
import sys

import jwt

url, token = sys.argv[1:]
key = jwt.PyJWKClient(url).get_signing_key_from_jwt(token)
print(json.dumps(jwt.decode(token, key, algorithms=[key.algorithm_name], issuer="authsvc")))
