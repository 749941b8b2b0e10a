// The page of the content app. It asks for the list of jobs again and again, and changes only what
// is new in it, so that focus, open panels and selections stay. What a document says is only ever
// put into the page as text; the article and the chart come as documents of their own, sandboxed.

const SHOWN = 50;
const BUSY_MS = 400;
const IDLE_MS = 3000;
const LONG_BYTES = 1_000_000;
const OPEN = ["pending", "generating"];
const RETRYABLE = ["failed", "cancelled", "interrupted", "rejected"];

const $ = (id) => document.getElementById(id);
const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);
const number = (n) => n.toLocaleString();

/** The answer as JSON; what the server says is wrong, or that it cannot be reached, as an Error. */
async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer.");
  }
  const body = (answer.headers.get("content-type") ?? "").includes("json") ? await answer.json() : null;
  if (answer.ok) return body;
  const detail = body?.detail;
  let text = typeof detail === "string" ? detail : `The server answered ${answer.status}.`;
  if (Array.isArray(detail)) text = detail.map((problem) => problem.msg).join("; ");
  const after = answer.headers.get("retry-after");
  if (after) text = `There is no room for the job now. Try again in ${after} seconds.`;
  throw new Error(capital(text));
}

function announce(text) {
  $("announce").textContent = text;
}

// ---- the list ----------------------------------------------------------------------------------

/** What is shown of each job, by id: its element, and the job as it was when last drawn. */
const shown = new Map();

function size(bytes) {
  if (bytes < 1000) return bytes === 1 ? "1 byte" : `${bytes} bytes`;
  return bytes < 999_950 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

function meta(job) {
  const parts = [size(job.size), `created ${new Date(job.created_at).toLocaleTimeString()}`];
  if (job.started_at && job.finished_at) {
    const seconds = (new Date(job.finished_at) - new Date(job.started_at)) / 1000;
    parts.push(seconds < 0.1 ? "ran under 0.1 s" : `ran ${seconds.toFixed(seconds < 10 ? 1 : 0)} s`);
  }
  return parts.join(" · ");
}

function draw(item, job) {
  const { element } = item;
  const before = item.job;
  if (before && JSON.stringify(before) === JSON.stringify(job)) return;
  item.job = job;
  const find = (selector) => element.querySelector(selector);
  const open = OPEN.includes(job.status);
  const stopping = open && job.cancel_requested;

  element.dataset.status = job.status;
  find(".title").textContent = job.title;
  find(".status").textContent = stopping ? "Cancelling" : capital(job.status);
  find(".meta").textContent = meta(job);
  find(".progress").hidden = !open;
  const bar = find("progress");
  bar.value = job.percent;
  bar.setAttribute("aria-label", `Progress of ${job.title}`);
  find(".percent").textContent = `${job.percent} %`;
  find(".stage").textContent = job.status === "pending" ? "waiting for a free slot" : job.stage;
  find(".reason").textContent = RETRYABLE.includes(job.status) ? (job.reason ?? "") : "";

  const show = (selector, wanted) => {
    const button = find(selector);
    if (!wanted && document.activeElement === button) find(".title").focus();
    button.hidden = !wanted;
  };
  show(".open", job.status === "completed");
  show(".trace", job.status === "failed");
  show(".retry", RETRYABLE.includes(job.status));
  show(".cancel", open && !stopping);
  for (const button of element.querySelectorAll(".actions button")) {
    button.setAttribute("aria-describedby", find(".title").id);
  }

  if (before && before.status !== job.status) {
    close(element);
    find(".job-error").textContent = "";
    announce(`${job.title}: ${job.status}`);
  }
  drawStuck(find, job);
}

/** Where a job is that runs for long, while it does. */
function drawStuck(find, job) {
  const box = find(".stuck");
  const stack = find(".stack");
  if (job.stack && box.hidden) announce(`${job.title}: takes long`);
  box.hidden = !job.stack;
  if (!job.stack) return;
  const seconds = (new Date(job.stuck_at) - new Date(job.started_at)) / 1000;
  find(".stuck summary").textContent = `Takes long: after ${seconds.toFixed(seconds < 10 ? 1 : 0)} s it was here`;
  if (stack.textContent === job.stack) return;
  stack.textContent = job.stack;
  stack.scrollTop = stack.scrollHeight; // the innermost call is the last
  stack.setAttribute("aria-label", `Where ${job.title} was`);
}

function add(job) {
  const element = $("job-template").content.firstElementChild.cloneNode(true);
  const item = { element, job: null, busy: false };
  const find = (selector) => element.querySelector(selector);
  element.dataset.id = job.id;
  find(".title").id = `title-${job.id}`;
  find(".title").tabIndex = -1;
  find(".open").addEventListener("click", () => toggle(item, find(".open"), result));
  find(".trace").addEventListener("click", () => toggle(item, find(".trace"), traceback));
  find(".cancel").addEventListener("click", () => act(item, "cancel"));
  find(".retry").addEventListener("click", () => act(item, "retry"));
  shown.set(job.id, item);
  return item;
}

/** The status whose jobs are shown; all are if it is empty. */
let filter = "";

/** A button for each status that jobs have, and one for all. */
function drawFilters(counts) {
  for (const [status, count] of Object.entries(counts)) {
    let button = $("filters").querySelector(`[data-filter="${status}"]`);
    if (!button) {
      button = document.createElement("button");
      button.type = "button";
      button.dataset.filter = status;
      button.addEventListener("click", () => choose(status));
      $("filters").append(button);
    }
    button.hidden = count === 0 && status !== filter;
    button.textContent = `${number(count)} ${status || "in all"}`;
    button.setAttribute("aria-pressed", String(status === filter));
  }
  $("filters").hidden = counts[""] === 0;
}

function choose(status) {
  filter = status;
  return refresh();
}

function drawAll({ jobs, counts }) {
  const list = $("jobs");
  const ids = new Set(jobs.map((job) => job.id));
  for (const [id, { element }] of shown) {
    if (!ids.has(id)) {
      if (element.contains(document.activeElement)) $("jobs-heading").focus();
      element.remove();
      shown.delete(id);
    }
  }
  jobs.forEach((job, place) => {
    const item = shown.get(job.id) ?? add(job);
    draw(item, job);
    if (list.children[place] !== item.element) list.insertBefore(item.element, list.children[place] ?? null);
  });
  $("loading").hidden = true;
  $("empty").hidden = jobs.length > 0;
  $("empty").textContent = filter
    ? `No job is ${filter}.`
    : "No jobs yet. Paste a document, or try one of the samples.";
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
  drawFilters({ "": all, ...counts });
  const these = filter ? counts[filter] : all;
  $("more").hidden = these <= jobs.length;
  $("more").textContent = `The newest ${number(jobs.length)} of ${number(these)} jobs.`;
}

let timer;
let asking = 0;
let failures = 0;

/** Ask for the list now, and again after a while: soon if a job is open. */
async function refresh() {
  clearTimeout(timer);
  const turn = ++asking;
  let pause = IDLE_MS;
  try {
    const list = await ask(`/jobs?limit=${SHOWN}${filter && `&status=${filter}`}`);
    if (turn !== asking) return; // a newer question is under way: this answer is out of date
    drawAll(list);
    if (failures > 0) announce("The server answers again.");
    failures = 0;
    $("offline").hidden = true;
    if (list.counts.pending + list.counts.generating > 0) pause = BUSY_MS;
  } catch (error) {
    if (turn !== asking) return;
    failures += 1;
    if (failures === 1) $("offline").textContent = `${error.message} Trying again…`;
    $("offline").hidden = false;
    pause = Math.min(1000 * failures, 5000);
  }
  if (!document.hidden) timer = setTimeout(refresh, pause);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});

/** Do something for a job, one thing at a time; what goes wrong is said there. The buttons are not
 * disabled meanwhile: that would take the focus from whoever uses the keyboard. */
async function attempt(item, action) {
  if (item.busy) return;
  item.busy = true;
  const error = item.element.querySelector(".job-error");
  error.textContent = "";
  try {
    await action();
  } catch (problem) {
    error.textContent = problem.message;
  }
  item.busy = false;
}

async function act(item, verb) {
  await attempt(item, () => ask(`/jobs/${item.job.id}/${verb}`, { method: "POST" }));
  await refresh();
}

// ---- what became of a job ----------------------------------------------------------------------

function close(element) {
  element.querySelector(".panel").hidden = true;
  element.querySelector(".panel").replaceChildren();
  element.querySelector(".open").setAttribute("aria-expanded", "false");
  element.querySelector(".open").textContent = "Open result";
  element.querySelector(".trace").setAttribute("aria-expanded", "false");
  element.querySelector(".trace").textContent = "Show traceback";
}

function toggle(item, button, content) {
  const { element, job } = item;
  const panel = element.querySelector(".panel");
  const wasOpen = !panel.hidden;
  close(element);
  if (wasOpen) return;
  attempt(item, async () => {
    panel.replaceChildren(content(await ask(`/jobs/${job.id}`)));
    panel.hidden = false;
    button.setAttribute("aria-expanded", "true");
    button.textContent = button.classList.contains("open") ? "Close result" : "Hide traceback";
  });
}

function duration(minutes) {
  if (minutes < 60) return minutes === 1 ? "1 minute" : `${minutes} minutes`;
  return `${number(Math.floor(minutes / 60))} h ${minutes % 60} min`;
}

function result(job) {
  const { pack } = job;
  const panel = $("result-template").content.cloneNode(true);
  const find = (selector) => panel.querySelector(selector);
  find(".reading").textContent = duration(pack.reading_minutes);
  find(".words").textContent = number(pack.words);
  find(".sentences").textContent = number(pack.sentences);
  const names = new Intl.DisplayNames(["en"], { type: "language" });
  find(".language").textContent = pack.language === "und" ? "Unknown" : names.of(pack.language);
  const sentences = pack.summary.length ? pack.summary : ["The document has no sentences to quote."];
  find(".summary").append(
    ...sentences.map((sentence) => {
      const line = document.createElement("li");
      line.textContent = sentence;
      return line;
    }),
  );
  const terms = pack.terms.map(({ term, count }) => `${term} ${count}`).join(", ");
  find(".chart").alt = terms ? `Bar chart of how often each occurs: ${terms}` : "No key terms";
  find(".chart").src = job.chart_url;
  find(".article").title = `Article: ${job.title}`;
  find(".article").src = job.article_url;
  find(".article-link").href = job.article_url;
  return panel;
}

function traceback(job) {
  const text = document.createElement("pre");
  text.className = "traceback";
  text.tabIndex = 0;
  text.setAttribute("role", "region");
  text.setAttribute("aria-label", `Traceback of ${job.title}`);
  text.textContent = job.error ?? "There is no traceback.";
  return text;
}

// ---- a new job ---------------------------------------------------------------------------------

function chooseFile(file) {
  $("chosen").hidden = !file;
  $("chosen-name").textContent = file ? `${file.name} (${size(file.size)})` : "";
  $("text").disabled = Boolean(file);
  if (file) $("kind").value = /\.txt$/i.test(file.name) ? "text/plain" : "text/markdown";
  $("form-error").textContent = "";
}

$("text").addEventListener("input", () => { $("form-error").textContent = ""; });
$("file").addEventListener("change", () => chooseFile($("file").files[0]));
$("chosen-remove").addEventListener("click", () => {
  $("file").value = "";
  chooseFile(null);
  $("text").focus();
});

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = $("create");
  if (button.ariaDisabled === "true") return; // not `disabled`: the focus stays
  const error = $("form-error");
  const document_ = $("file").files[0] ?? $("text").value;
  error.textContent = "";
  if (document_ === "") {
    error.textContent = "Paste a document or choose a file first.";
    $("text").focus();
    return;
  }
  let created = false;
  button.ariaDisabled = "true";
  button.textContent = "Sending…";
  try {
    const job = await ask("/jobs/create", {
      method: "POST",
      headers: { "Content-Type": `${$("kind").value}; charset=utf-8` },
      body: document_,
    });
    announce(`Created: ${job.title}`);
    $("text").value = "";
    $("file").value = "";
    chooseFile(null);
    created = true;
  } catch (problem) {
    error.textContent = problem.message;
  }
  button.ariaDisabled = "false";
  button.textContent = "Create job";
  if (!created) return;
  await choose("");
  const top = $("jobs-heading").getBoundingClientRect().top;
  if (top > 0.6 * innerHeight) $("jobs-heading").scrollIntoView(); // on a phone, it is further down
});

function sample(label, load) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "link";
  button.textContent = label;
  button.addEventListener("click", async () => {
    $("file").value = "";
    chooseFile(null);
    try {
      $("text").value = await load();
      $("create").focus();
    } catch (problem) {
      $("form-error").textContent = problem.message;
    }
  });
  const line = document.createElement("li");
  line.append(button);
  return line;
}

async function loadSamples() {
  const documents = await ask("/documents");
  const load = async ({ name }) => {
    const answer = await fetch(`/documents/${encodeURIComponent(name)}`);
    $("kind").value = /\.txt$/i.test(name) ? "text/plain" : "text/markdown";
    return answer.text();
  };
  const lines = documents.map((one) => sample(one.title, () => load(one)));
  if (documents.length) {
    lines.push(
      sample("A long one: the first, over and over, to 1\u00a0MB", async () => {
        const text = await load(documents[0]);
        const bytes = new TextEncoder().encode(text).length;
        return text.repeat(Math.floor(LONG_BYTES / bytes));
      }),
    );
  }
  $("samples").replaceChildren(...lines);
}

loadSamples().catch(() => { $("samples").textContent = "The samples could not be loaded."; });
refresh();
