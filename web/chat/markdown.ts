/**
 * A model's text as HTML. The text is hostile until proved otherwise: what the Markdown reader makes is cut down to
 * a list of harmless elements, links open elsewhere, and nothing is fetched (no images, no styles).
 */

import DOMPurify from "dompurify";
import { Marked } from "marked";

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    // HTML in a model's text is shown, not obeyed; an image is its description, and is not fetched.
    html: ({ text }) => escapeHtml(text),
    image: ({ text }) => escapeHtml(text),
  },
});

const allowed = {
  ALLOWED_TAGS: [
    ..."p br hr em strong del code pre blockquote ul ol li a h1 h2 h3 h4 h5 h6".split(" "),
    ..."table thead tbody tr th td".split(" "),
  ],
  ALLOWED_ATTR: ["href", "align", "start"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
};

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A") return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});

/** Texts beyond this are shown as they are: a reader of Markdown may take long over what was made to be slow. */
const longest = 100_000;

/** @returns HTML that is safe to insert. */
export function markdownHtml(text: string): string {
  if (text.length > longest) return `<pre>${escapeHtml(text)}</pre>`;
  return DOMPurify.sanitize(marked.parse(text, { async: false }), allowed);
}

// --- internal ---

function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
