import { Code, ConnectError } from "@connectrpc/connect";
import { useState, type ReactNode, type SyntheticEvent } from "react";

import { type Session } from "./session.js";

export function SignIn({ session }: { readonly session: Session }): ReactNode {
  const [refusal, setRefusal] = useState<string>();
  const [waiting, setWaiting] = useState(false);

  const submit = async (event: SyntheticEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setWaiting(true);
    setRefusal(undefined);
    try {
      await session.signIn(field(form, "email"), field(form, "password"));
    } catch (error) {
      setRefusal(explain(error));
      setWaiting(false);
    }
  };

  return (
    <main className="sign-in">
      <form className="card" onSubmit={(event) => void submit(event)}>
        <img src="/assets/footfall.svg" alt="" width={48} height={48} />
        <h1>Footfall</h1>
        <label>
          E-mail
          <input name="email" type="email" autoComplete="username" required autoFocus />
        </label>
        <label>
          Password
          <input name="password" type="password" autoComplete="current-password" required />
        </label>
        {refusal !== undefined && <p role="alert">{refusal}</p>}
        <button type="submit" disabled={waiting}>
          {waiting ? "Signing in …" : "Sign in"}
        </button>
      </form>
    </main>
  );
}

function field(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === "string" ? value : "";
}

function explain(error: unknown): string {
  if (!(error instanceof ConnectError)) return "Something went wrong on this page.";
  switch (error.code) {
    case Code.Unauthenticated:
      return "E-mail or password is wrong.";
    case Code.ResourceExhausted:
      return "Too many attempts. Wait a minute, then try again.";
    default:
      return "Footfall cannot be reached. Try again in a moment.";
  }
}
