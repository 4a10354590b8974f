// What a service in another language does with our tokens: `node verify.mjs JOSE JWKS_URL TOKEN` prints the claims, or
// the code of the refusal. JOSE is the path of the module `jose`.
const [jose, url, token] = process.argv.slice(2);
const { createRemoteJWKSet, jwtVerify } = await import(jose);
try {
  const { payload, protectedHeader } = await jwtVerify(token, createRemoteJWKSet(new URL(url)), {
    issuer: "authsvc",
    typ: "at+jwt",
  });
  console.log(JSON.stringify({ ...payload, alg: protectedHeader.alg }));
} catch (error) {
  console.log(JSON.stringify({ refused: error.code }));
}
