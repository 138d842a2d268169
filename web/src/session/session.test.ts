import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it, vi } from "vitest";

import { IssueTokenResponseSchema } from "../gen/footfall/registry/v1/auth_pb.js";
import { Role } from "../gen/footfall/registry/v1/role_pb.js";
import { Session, type AuthClient, type Surroundings } from "./session.js";

function answer(number: number, role = Role.TENANT_ADMIN) {
  return create(IssueTokenResponseSchema, {
    accessToken: `access-${String(number)}`,
    refreshToken: `refresh-${String(number)}`,
    expiresIn: { seconds: 900n },
    role,
  });
}

function surroundings(stored?: string) {
  const held = new Map<string, string>(stored === undefined ? [] : [["footfall.refresh", stored]]);
  const clock = { now: 0 };
  const given: Surroundings = {
    storage: {
      getItem: (key) => held.get(key) ?? null,
      setItem: (key, value) => void held.set(key, value),
      removeItem: (key) => void held.delete(key),
    },
    now: () => clock.now,
    exclusively: (act) => act(),
  };
  return { given, held, clock };
}

function registry(...answers: (ReturnType<typeof answer> | ConnectError)[]) {
  const issueToken = vi.fn<AuthClient["issueToken"]>(() => {
    const next = answers.shift();
    if (next === undefined) throw new Error("asked too often");
    return next instanceof ConnectError ? Promise.reject(next) : Promise.resolve(next);
  });
  const revokeToken = vi.fn<AuthClient["revokeToken"]>();
  return { issueToken, revokeToken } satisfies AuthClient;
}

describe("a session", () => {
  it("uses its token until shortly before it ends, and then asks for one more", async () => {
    const { given, clock } = surroundings();
    const auth = registry(answer(1), answer(2));
    const session = new Session(auth, given);
    await session.signIn("ann@example.com", "secret");
    expect(await session.token()).toBe("access-1");
    clock.now = 841_000;
    expect(await session.token()).toBe("access-2");
    expect(auth.issueToken).toHaveBeenCalledTimes(2);
  });

  it("renews once, however many calls wait for it: a refresh token is good for one use", async () => {
    const auth = registry(answer(2));
    const session = new Session(auth, surroundings("refresh-1").given);
    const tokens = await Promise.all([session.token(), session.token(), session.token()]);
    expect(tokens).toEqual(["access-2", "access-2", "access-2"]);
    expect(auth.issueToken).toHaveBeenCalledExactlyOnceWith({
      grant: { case: "refresh", value: { refreshToken: "refresh-1" } },
    });
  });

  it("ends when the registry refuses the refresh token", async () => {
    const { given, held } = surroundings("stolen");
    const session = new Session(registry(new ConnectError("reused", Code.Unauthenticated)), given);
    await session.resume();
    expect(session.principal).toBeUndefined();
    expect(held.size).toBe(0);
  });

  it("outlives a registry that is away", async () => {
    const { given, held } = surroundings("refresh-1");
    const session = new Session(registry(new ConnectError("away", Code.Unavailable), answer(2)), given);
    await expect(session.resume()).rejects.toThrow("away");
    expect(held.get("footfall.refresh")).toBe("refresh-1");
    expect(await session.token()).toBe("access-2");
  });

  it("tells its listeners who has signed in, and that viewers see no faces", async () => {
    const session = new Session(registry(answer(1, Role.VIEWER)), surroundings().given);
    const heard = vi.fn();
    session.subscribe(heard);
    await session.signIn("vic@example.com", "secret");
    expect(heard).toHaveBeenCalledOnce();
    expect(session.principal?.seesFaces).toBe(false);
  });

  it("revokes its refresh token when somebody signs out", async () => {
    const { given, held } = surroundings();
    const auth = registry(answer(1));
    const session = new Session(auth, given);
    await session.signIn("ann@example.com", "secret");
    await session.signOut();
    expect(auth.revokeToken).toHaveBeenCalledExactlyOnceWith({
      target: { case: "refreshToken", value: "refresh-1" },
    });
    expect(held.size).toBe(0);
    await expect(session.token()).rejects.toThrow("signed out");
  });
});
