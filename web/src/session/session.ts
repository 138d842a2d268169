/**
 * Who is signed in: the tokens, kept fresh.
 *
 * The access token lives in memory, for 15 minutes. The refresh token lies in localStorage, shared by all tabs; it is
 * good for one use, and a second use ends the session, so tabs take turns under a Web Lock.
 */
import { Code, ConnectError, type Client } from "@connectrpc/connect";

import { type AuthService, type IssueTokenResponse } from "../gen/footfall/registry/v1/auth_pb.js";
import { Role } from "../gen/footfall/registry/v1/role_pb.js";

const STORAGE_KEY = "footfall.refresh";
const LOCK = "footfall.refresh";
/** An access token is renewed so long before it ends. */
const MARGIN_MS = 60_000;

export interface Principal {
  readonly role: Role;
  readonly tenantId: string;
  /** Images are for everyone but viewers. */
  readonly seesFaces: boolean;
}

interface Access {
  readonly token: string;
  readonly expiresAt: number;
}

/** What the session needs of the browser; given, so that tests can give another. */
export interface Surroundings {
  readonly storage: Pick<Storage, "getItem" | "setItem" | "removeItem">;
  readonly now: () => number;
  /** Runs one at a time among all tabs. */
  readonly exclusively: <T>(act: () => Promise<T>) => Promise<T>;
}

export const browser: Surroundings = {
  storage: localStorage,
  now: () => Date.now(),
  exclusively: (act) =>
    "locks" in navigator ? (navigator.locks.request(LOCK, act) as ReturnType<typeof act>) : act(),
};

export type AuthClient = Pick<Client<typeof AuthService>, "issueToken" | "revokeToken">;

export class Session {
  #access: Access | undefined;
  #principal: Principal | undefined;
  #renewal: Promise<string> | undefined;
  readonly #listeners = new Set<() => void>();

  constructor(
    private readonly auth: AuthClient,
    private readonly surroundings: Surroundings = browser,
  ) {}

  get principal(): Principal | undefined {
    return this.#principal;
  }

  /** For useSyncExternalStore. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  async signIn(email: string, password: string): Promise<void> {
    this.#keep(await this.auth.issueToken({ grant: { case: "password", value: { email, password } } }));
  }

  /** Goes on with the session of an earlier page, if there is one. */
  async resume(): Promise<void> {
    if (this.surroundings.storage.getItem(STORAGE_KEY) === null) return;
    await this.token().catch((error: unknown) => {
      if (!isRefusal(error)) throw error;
    });
  }

  /** An access token that is good for a while. Throws what the registry answers; a refusal ends the session. */
  async token(): Promise<string> {
    if (this.#access !== undefined && this.#access.expiresAt - MARGIN_MS > this.surroundings.now()) {
      return this.#access.token;
    }
    this.#renewal ??= this.#renew().finally(() => {
      this.#renewal = undefined;
    });
    return this.#renewal;
  }

  async signOut(): Promise<void> {
    const refreshToken = this.surroundings.storage.getItem(STORAGE_KEY);
    this.#forget();
    if (refreshToken !== null) {
      await this.auth.revokeToken({ target: { case: "refreshToken", value: refreshToken } });
    }
  }

  async #renew(): Promise<string> {
    return this.surroundings.exclusively(async () => {
      const refreshToken = this.surroundings.storage.getItem(STORAGE_KEY);
      if (refreshToken === null) {
        this.#forget();
        throw new ConnectError("signed out", Code.Unauthenticated);
      }
      try {
        return this.#keep(
          await this.auth.issueToken({ grant: { case: "refresh", value: { refreshToken } } }),
        );
      } catch (error) {
        if (isRefusal(error)) this.#forget();
        throw error;
      }
    });
  }

  #keep(answer: IssueTokenResponse): string {
    const seconds = Number(answer.expiresIn?.seconds ?? 0n);
    this.#access = { token: answer.accessToken, expiresAt: this.surroundings.now() + seconds * 1000 };
    this.surroundings.storage.setItem(STORAGE_KEY, answer.refreshToken);
    this.#principal = {
      role: answer.role,
      tenantId: answer.tenantId,
      seesFaces: answer.role !== Role.VIEWER,
    };
    this.#announce();
    return answer.accessToken;
  }

  #forget(): void {
    this.#access = undefined;
    this.#principal = undefined;
    this.surroundings.storage.removeItem(STORAGE_KEY);
    this.#announce();
  }

  #announce(): void {
    for (const listener of this.#listeners) listener();
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.Unauthenticated;
}
