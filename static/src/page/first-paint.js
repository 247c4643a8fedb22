// Before the first paint: say that scripts run, and take the theme that was chosen last. A classic script: it imports nothing.
{
  const root = document.documentElement;
  root.dataset.js = "";
  try {
    const chosen = localStorage.getItem("theme");
    if (!root.dataset.theme && (chosen === "light" || chosen === "dark")) root.dataset.theme = chosen;
  } catch {
    // storage is blocked: the machine's own preference holds
  }
}
