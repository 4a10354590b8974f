// From sign-up to a key, under the types that openapi-typescript makes of /openapi.json.
import type { components, operations } from "./authsvc";

declare const process: { argv: string[]; exitCode: number };

type Schemas = components["schemas"];
type Content<T> = T extends { content: infer C } ? C[keyof C] : undefined;
type Body<Name extends keyof operations> = operations[Name] extends { requestBody?: { content: infer C } }
  ? C extends { "application/json": infer J } ? J : never
  : undefined;
type Responses<Name extends keyof operations> = operations[Name]["responses"];
type Good<Name extends keyof operations> = Content<Responses<Name>[Extract<keyof Responses<Name>, 200 | 201 | 202>]>;

const [base, name, password] = process.argv.slice(2) as [string, string, string];

class Refused extends Error {
  constructor(readonly problem: Schemas["Problem"]) {
    super(problem.detail);
  }
}

async function call<Name extends keyof operations>(
  method: string, path: string, body?: Body<Name>, headers: Record<string, string> = {},
): Promise<Good<Name>> {
  const sent = body === undefined ? {} : { body: JSON.stringify(body) };
  const response = await fetch(base + path, {
    method, headers: { "content-type": "application/json", ...headers }, ...sent,
  });
  if (!response.ok) throw new Refused((await response.json()) as Schemas["Problem"]);
  return (await response.json()) as Good<Name>;
}

function check(what: boolean, message: string): void {
  if (!what) throw new Error(message);
}

async function main(): Promise<void> {
  const user = await call<"signup">("POST", "/auth/signup", { username: name, email: `${name}@example.com`, password });
  check(user.username === name, "username");
  const byName: Body<"login"> = { username: name, password };
  const byEmail: Body<"login"> = { email: `${name}@example.com`, password };
  // @ts-expect-error  one of the two is required
  const byNothing: Body<"login"> = { password };
  await call<"login">("POST", "/auth/login", byNothing).catch((error: unknown) => {
    check(error instanceof Refused && error.problem.errors?.[0]?.code === "required", "required");
  });
  await call<"login">("POST", "/auth/login", byName);
  const tokens = await call<"login">("POST", "/auth/login", byEmail);
  const bearer = { authorization: `Bearer ${tokens.access_token}` };
  const made = await call<"createKey">("POST", "/keys/create", { name: "nightly export", rate_limit: null }, bearer);
  const keys = await call<"listKeys">("GET", "/keys?limit=10&status=active", undefined, bearer);
  check(keys.length === 1 && keys[0]?.id === made.id && keys[0].rate_limit === null, "keys");
  const greeting = await call<"protectedService">("GET", "/protected/service", undefined, { "x-api-key": made.key });
  check(greeting.service === "nightly export" && greeting.auth_method === "api_key", "greeting");
  // @ts-expect-error  unknown fields are errors, in the types too
  const misspelt: Body<"createKey"> = { name: "x", scope: [] };
  await call<"createKey">("POST", "/keys/create", misspelt, bearer).catch((error: unknown) => {
    check(error instanceof Refused && error.problem.errors?.[0]?.field === "scope", "scope");
  });
  console.log("done");
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
