// SPDX-License-Identifier: Apache-2.0
// ---- The address: what stands behind # says what is selected, so that it can be kept or sent to somebody

// Their values stay out of the address: it is kept by the browser, and copied into chats.
const SECRET = /^[^:]*(authorization|cookie|api-?key|session|token|secret|password)[^:]*:/i;
const SELF = { kind: 'self', name: '' };

function addressOf({ kind, name, part, question }) {
  if (kind === 'service' || kind === 'caller') return `#/${kind}/${encodeURIComponent(name)}`;
  if (kind === 'certificates') return '#/certificates';
  if (kind !== 'explain') return part ? '#/' + part : '#/';
  if (!question?.url) return '#/explain';
  const words = new URLSearchParams({ method: question.method, url: question.url });
  for (const line of question.headers) if (!SECRET.test(line)) words.append('header', line);
  if (question.from) words.set('from', question.from);
  return '#/explain?' + words;
}

function selectionAt(address) {
  const [path, words] = address.slice(1).split(/\?(.*)/s), [, kind, ...rest] = path.split('/');
  let name = null;
  try { name = decodeURIComponent(rest.join('/')); } catch { /* no UTF-8: not of this page's making */ }
  if (!kind) return SELF;
  if ((kind === 'service' || kind === 'caller') && name != null) return { kind, name };
  if (kind === 'failures' && !name) return { ...SELF, part: 'failures' };
  if (kind === 'certificates' && !name) return { kind, name: '' };
  if (kind !== 'explain' || name) return { ...SELF, unknown: address };
  const asked = new URLSearchParams(words || '');
  return { kind, name: '', question: asked.get('url') ? { method: asked.get('method') || 'GET', url: asked.get('url'),
    headers: asked.getAll('header'), from: asked.get('from') || undefined } : undefined };
}

// ---- Selection

const isChosen = (kind, name) => state.sel.kind === kind && state.sel.name === name;
const choose = (kind, name, opener) => select({ kind, name }, opener);
function select(sel, opener) {
  const address = addressOf(sel);
  if ((location.hash || '#/') !== address) history.pushState(null, '', address);
  show(sel, opener);
}
// What is selected now, by whatever way: a click, the address, back or forward.
function show(sel, opener) {
  state.sel = sel;
  state.opener = opener;
  tell($('operation-said'), '', null);
  markPart();
  render();
  if (sel.kind === 'explain') askFor(sel.question);
  $('detail').scrollTop = 0;
  if (sel.part === 'failures') return go($('failures-title'));
  // Beside the map the detail is in sight, and the focus can stay. Below it, it is not.
  if (getComputedStyle($('detail')).position !== 'sticky') return go($('detail-title'));
  say(`${$('detail-title').textContent.slice(0, 60)}: the detail is shown.`);
}
function markPart() {
  const { kind, part } = state.sel;
  const here = kind === 'explain' || kind === 'certificates' ? '#/' + kind : part ? '#/' + part : '#/';
  for (const a of $('parts').children) attr(a, 'aria-current', a.getAttribute('href') === here ? 'page' : null);
}
function go(title) {
  title.closest('section').scrollIntoView({ behavior: quiet.matches ? 'auto' : 'smooth', block: 'start' });
  title.focus({ preventScroll: true });
}
function closeDetail() {
  const back = state.opener;
  select(SELF, null);
  (back?.isConnected ? back : document.querySelector('.node.self'))?.focus();
}
$('close').onclick = closeDetail;
$('detail').addEventListener('keydown', event => {
  if (event.key === 'Escape' && state.sel.kind !== 'self') closeDetail();
});
addEventListener('hashchange', () => {
  if (!location.hash || location.hash.startsWith('#/')) show(selectionAt(location.hash), null);
});
for (const a of $('parts').children) a.onclick = event => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  select(selectionAt(a.getAttribute('href')), a);
};
$('skip').onclick = event => {
  event.preventDefault();
  $('main').focus();
};
