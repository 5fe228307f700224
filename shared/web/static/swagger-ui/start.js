// Starts Swagger UI on this service's own document. A file, because the page's policy allows no inline script.
// With access on, the document needs a token: the page asks for one, and keeps it in memory until it is closed.
let token = "";
// The path of the service: a proxy may serve others beside it, which must not see the token.
const service = new URL(".", document.baseURI).pathname;

const read = () => fetch("openapi.json", token ? { headers: { Authorization: `Bearer ${token}` } } : {});

function asked(why) {
  return new Promise((given) => {
    const form = document.createElement("form");
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), {
      id: "token", type: "password", required: true, autocomplete: "off", size: 60,
    });
    const button = Object.assign(document.createElement("button"), { textContent: "Show the API" });
    form.style.cssText = "max-width: 60em; margin: 4em auto; font-family: sans-serif; line-height: 2";
    label.style.display = "block";
    label.textContent = `This service needs a token (${why}): `;
    label.append(input);
    form.append(label, button);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      form.remove();
      given(input.value.trim());
    });
    document.body.prepend(form);
    input.focus();
  });
}

async function start() {
  let answer = await read();
  while (answer.status === 401) {
    token = await asked((await answer.json()).detail);
    answer = await read();
  }
  window.ui = SwaggerUIBundle({
    url: "openapi.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    layout: "StandaloneLayout",
    requestInterceptor: (request) => {
      const { origin, pathname } = new URL(request.url, document.baseURI);
      const ours = origin === location.origin && pathname.startsWith(service);
      if (token && ours && !request.headers.Authorization) {
        request.headers.Authorization = `Bearer ${token}`;
      }
      return request;
    },
    onComplete: () => {
      document.title = window.ui.specSelectors.info().get("title") || document.title;
    },
  });
}

start();
