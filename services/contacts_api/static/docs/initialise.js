// Starts Swagger UI on this service's own description. No validator badge: it would send the description elsewhere.
window.addEventListener("load", () => {
  SwaggerUIBundle({
    url: "/schema",
    dom_id: "#swagger-ui",
    deepLinking: true,
    docExpansion: "list",
    filter: true,
    persistAuthorization: false,
    validatorUrl: null,
  });
});
