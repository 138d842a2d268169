/// <reference types="vitest/config" />
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [react()],
  build: { sourcemap: false, chunkSizeWarningLimit: 1200 },
  server: {
    // `npm run dev` beside a mesh at one desk: the gateway's certificate is of its own authority.
    proxy: {
      "^/(footfall\\.|v1/)": { target: "https://localhost:8443", secure: false },
    },
  },
  test: { environment: "happy-dom", include: ["src/**/*.test.{ts,tsx}"] },
});
