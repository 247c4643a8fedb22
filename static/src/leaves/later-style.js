// Load the styles of what is shown only after a click.

/** @type {Promise<void> | null} */
let loading = null;

/** Load the styles, once. The promise is fulfilled even if they cannot be loaded. */
export function laterStyle() {
  return (loading ??= new Promise((done) => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = document.querySelector('meta[name="later-style"]')?.getAttribute("content") ?? "";
    link.addEventListener("load", () => done());
    link.addEventListener("error", () => done());
    document.head.append(link);
  }));
}
