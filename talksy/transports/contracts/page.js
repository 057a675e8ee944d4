// What the page can do without, and is nicer with: copying, finding, and knowing its own address.
"use strict";

for (const block of document.querySelectorAll(".code code")) {
  const walk = document.createTreeWalker(block, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    walk.currentNode.data = walk.currentNode.data.replaceAll("http://localhost:3000", location.origin);
  }
}

for (const figure of document.querySelectorAll(".code")) {
  const button = document.createElement("button");
  const label = figure.querySelector("figcaption").textContent;
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy: ${label}`);
  button.addEventListener("click", async () => {
    const text = figure.querySelector("pre").textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // Not allowed here, such as over plain HTTP: it is marked for the keys.
      getSelection().selectAllChildren(figure.querySelector("pre"));
      button.textContent = "Marked";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  figure.querySelector("figcaption").append(button);
}

const contents = document.querySelector("nav");
const find = document.createElement("input");
find.type = "search";
find.placeholder = "Find";
find.setAttribute("aria-label", "Find a route or an event");
find.addEventListener("input", () => {
  const words = find.value.toLowerCase();
  for (const group of contents.querySelectorAll("section")) {
    let any = false;
    for (const item of group.querySelectorAll("li")) {
      item.hidden = !item.textContent.toLowerCase().includes(words);
      any ||= !item.hidden;
    }
    group.hidden = !any;
  }
});
contents.prepend(find);

const links = new Map([...contents.querySelectorAll("a")].map((link) => [link.hash.slice(1), link]));
const seen = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(target.id).setAttribute("aria-current", "true");
    }
  },
  { rootMargin: "-15% 0px -75% 0px" },
);
for (const id of links.keys()) {
  const target = document.getElementById(id);
  if (target) seen.observe(target);
}
