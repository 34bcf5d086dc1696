// What the ballot and the review page share.
"use strict";

const byId = id => document.getElementById(id);

/** What the page remembers over a reload; a browser without storage forgets it when the page is left. */
const shelf = {
  read(name, start) {
    try { return { ...start, ...JSON.parse(localStorage.getItem(name)) }; } catch { return start; }
  },
  write(name, value) {
    try { localStorage.setItem(name, JSON.stringify(value)); return true; } catch { return false; }
  },
};

/** Gives a file to the visitor. */
function saveFile(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
