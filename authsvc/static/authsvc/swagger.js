// The document's path is relative, so that the pages work below any prefix that a proxy adds. "Try it out" calls the
// service that served this page, by whatever name it was opened: the policy of the page allows no other.
const base = new URL(".", location.href);
const ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: true,
  validatorUrl: null,
  requestInterceptor(request) {
    if (!request.loadSpec) {
      const server = new URL(ui.specSelectors.servers().getIn([0, "url"]), location.href);
      const path = new URL(request.url, location.href);
      request.url = base.href + (path.pathname + path.search).slice(server.pathname.replace(/\/*$/, "/").length);
    }
    return request;
  },
});
