// Keeps an open page true: when the server says that something changed, the page is read anew and what differs is
// exchanged. Everything works without it, after a reload.
"use strict";

const main = document.getElementById("main");
const sign = document.getElementById("live");
let mark = main.dataset.live;
let stream = null;
let isStale = false;
let isReading = false;

// A hidden page holds no connection: a browser has few of them for all its tabs.
function listen() {
  if (document.hidden) {
    stream?.close();
    stream = null;
  } else if (!stream) {
    stream = new EventSource("/events?since=" + encodeURIComponent(mark));
    stream.onopen = () => say("Updates by itself.");
    stream.onerror = () => say("Does not update by itself now: reload it.");
    stream.onmessage = (event) => {
      mark = event.lastEventId;
      isStale = true;
      refresh();
    };
  }
}

function say(text) {
  if (sign.textContent !== text) sign.textContent = text;
}

// Nothing moves under the hands of who fills in a field or selects a text.
function isInUse() {
  const { activeElement } = document;
  const selection = getSelection();
  return (main.contains(activeElement) && activeElement.matches("input, select, textarea"))
    || (!selection.isCollapsed && main.contains(selection.anchorNode));
}

async function refresh() {
  if (!isStale || isReading || isInUse()) return;
  isReading = true;
  isStale = false;
  try {
    const answer = await fetch(location.href);
    if (answer.redirected) location.reload(); // the session has ended
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (answer.ok && isInUse()) isStale = true;
    else if (answer.ok) exchange(page.getElementById("main"));
  } catch {
    isStale = true; // the stream tells when the server is back
  } finally {
    isReading = false;
  }
  refresh();
}

const nameOf = (element) => ["id", "href", "aria-label"].map((name) => element.getAttribute(name)).join(" ");

function exchange(fresh) {
  const focused = main.contains(document.activeElement) ? document.activeElement : null;
  const regions = [...main.querySelectorAll("[role=region]")].map((region) => [nameOf(region), region.scrollLeft]);
  const [old, young] = [[...main.children], [...fresh.children]];
  if (old.length === young.length) {
    old.forEach((part, at) => part.isEqualNode(young[at]) || part.replaceWith(young[at]));
  } else {
    main.replaceChildren(...young);
  }
  const places = new Map(regions);
  main.querySelectorAll("[role=region]").forEach((region) => { region.scrollLeft = places.get(nameOf(region)) ?? 0; });
  if (focused && !focused.isConnected) {
    const twin = [...main.querySelectorAll("a, [tabindex]")].find((element) => nameOf(element) === nameOf(focused));
    twin?.focus({ preventScroll: true });
  }
}

document.addEventListener("visibilitychange", listen);
document.addEventListener("selectionchange", refresh);
main.addEventListener("focusout", () => setTimeout(refresh));
listen();
