// Run before the first paint: mark the page as scripted, and apply the saved theme. A classic script, without imports.
{
  const root = document.documentElement;
  root.dataset.js = "";
  if (new URLSearchParams(location.search).get("present") === "1") root.dataset.present = "";
  try {
    const chosen = localStorage.getItem("theme");
    if (!root.dataset.theme && (chosen === "light" || chosen === "dark")) root.dataset.theme = chosen;
  } catch {
    // storage is blocked: the system's theme applies
  }
}
