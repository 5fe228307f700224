// What starts a command, as the forms and pages name it.

export const INTERPRETERS = {
  shell: "shell (/bin/sh)",
  bash: "bash",
  python: "Python (python3)",
  exec: "none: a program and its arguments",
};

/** The same as the choices of a field: `[[value, text]]`. */
export const INTERPRETER_CHOICES = Object.entries(INTERPRETERS);
