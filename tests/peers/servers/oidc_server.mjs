// An OpenID provider on oidc-provider, for tests/peers/test_oidc.py.
//
//   node oidc_server.mjs PORT CLAIMS REDIRECT_URI
//
// CLAIMS is a JSON file: for each login, the claims that its tokens hold; it is read at each sign-in.
// Any password will do. Prints its issuer when it serves.
import { readFileSync } from 'node:fs';
import Provider from 'oidc-provider';

const [port, claimsFile, redirectUri] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'catchment',
      client_secret: 'of the tests, 32 characters long',
      redirect_uris: [redirectUri],
      grant_types: ['authorization_code'],
      response_types: ['code'],
    },
  ],
  claims: { openid: ['sub'], profile: ['name', 'preferred_username', 'groups'], email: ['email', 'email_verified'] },
  conformIdTokenClaims: false,
  cookies: { keys: ['of the tests'] },
  pkce: { required: () => true },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, ...(JSON.parse(readFileSync(claimsFile, 'utf8'))[id] ?? {}) }),
  }),
});

provider.listen(Number(port), '127.0.0.1', () => console.log(issuer));
