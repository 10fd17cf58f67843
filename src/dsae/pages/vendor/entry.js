// What the pages use of preact and htm, as the global htmPreact.
import { h, render } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import htm from "htm";

globalThis.htmPreact = { h, render, html: htm.bind(h), useLayoutEffect, useRef, useState };
