// Shows the server's OpenAPI description, without loading anything from other hosts.

import { byId, create } from "./dom.js";

const description = await (await fetch("openapi.json")).json();
byId("summary").textContent = description.info.summary;
byId("routes").replaceChildren(...routes().map(routeCard));

function routes() {
  const found = [];
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, about] of Object.entries(methods)) found.push({ path, method: method.toUpperCase(), about });
  }
  return found;
}

function routeCard({ path, method, about }) {
  const card = create("section", "card route", create("h2", "", create("code", "", method), create("code", "", path)));
  card.append(create("p", "", about.description ?? about.summary));
  const fields = [...(about.parameters ?? []).map(parameterField), ...bodyFields(about.requestBody)];
  if (fields.length) card.append(fieldTable(fields));
  return card;
}

function parameterField({ name, required, schema, description: text }) {
  return { name, required, schema, text };
}

/** The fields of a JSON body or a form. */
function bodyFields(body) {
  if (!body) return [];
  const { schema } = Object.values(body.content)[0];
  const { properties = {}, required = [] } = resolve(schema);
  return Object.entries(properties).map(([name, field]) => {
    return { name, required: required.includes(name), schema: field, text: field.description };
  });
}

function fieldTable(fields) {
  const head = create("tr", "", ...["Field", "Type", "Description"].map((text) => create("th", "", text)));
  const rows = fields.map(({ name, required, schema, text }) => {
    const about = [required ? "Required." : "", text ?? "", defaultOf(schema)].filter(Boolean).join(" ");
    return create("tr", "", create("td", "", create("code", "", name)), create("td", "", typeOf(schema)), create("td", "", about));
  });
  return create("table", "", create("thead", "", head), create("tbody", "", ...rows));
}

function defaultOf(schema) {
  return schema.default === undefined || schema.default === null ? "" : `Default: ${schema.default}.`;
}

function typeOf(schema) {
  const { anyOf, enum: values, type } = resolve(schema);
  if (values) return values.join(", ");
  if (anyOf) return anyOf.filter((each) => each.type !== "null").map(typeOf).join(" or ");
  return resolve(schema).format ?? resolve(schema).contentMediaType ?? type ?? "any";
}

function resolve(schema) {
  if (!schema.$ref) return schema;
  return schema.$ref.slice(2).split("/").reduce((part, name) => part[name], description);
}
