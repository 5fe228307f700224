// Before the first paint: the theme that was chosen here. A script of its own, as the policy allows none in the page.
try {
  const theme = JSON.parse(localStorage.getItem("hodei.theme"));
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // No storage, or not what the console wrote: the system's theme it is.
}
