// SPDX-License-Identifier: Apache-2.0
// ---- Operations: what an operator does to a service by hand, with the token of the admin API

// In this variable and its field only: never in the address, a cookie or a storage.
let token = '';
const operationsPath = '/v1/mesher/operations';
$('token').oninput = () => { token = $('token').value.trim(); };
$('operations').ontoggle = () => { if ($('operations').open) lookAtOperations(); };

async function callOperations(body) {
  const headers = token ? { Authorization: 'Bearer ' + token } : {};
  if (body) headers['Content-Type'] = 'application/json';
  try {
    const answer = await fetch(operationsPath, { method: body ? 'POST' : 'GET', headers, signal: AbortSignal.timeout(10000),
      body: body && JSON.stringify(body) });
    const found = await answer.json().catch(() => ({}));
    return { status: answer.status, ok: answer.ok, warning: found.warning,
      error: [found.error || `status ${answer.status}`, found.remedy].filter(Boolean).join('; ') };
  } catch (error) {
    return { status: 0, ok: false, error: `the sidecar does not answer (${error.message})` };
  }
}
// Nothing can be operated where no token is configured: then there is only the text that says so.
// An order's 404 is about an instance, and not about the API.
function showOperations(answer, isOrder) {
  $('operate').hidden = answer.status === 403 || answer.status === 404 && !isOrder;
  return answer;
}
async function lookAtOperations() {
  const { status, ok, error } = showOperations(await callOperations());
  tell($('operation-said'), ok || status === 401 ? '' : error, ok || status === 401 ? null : 'bad');
  if (state.doc) drawDetail(state.doc);
}
async function operate(action, service, instance, words) {
  const { ok, error, warning } = showOperations(await callOperations({ action, service, instance }), true);
  tell($('operation-said'), !ok ? error : `${words}: done. ${warning || ''}`, !ok ? 'bad' : warning ? 'warn' : 'ok');
}

// Operators mean an instance by its address, whatever is spoken there.
const addressIn = endpoint => endpoint.replace(/^[^/]*:\/\//, '');
function operation(words, action, label) {
  const button = h('button', words);
  button.setAttribute('aria-label', label);
  button.dataset.action = action;
  return button;
}
function drawOperations(s) {
  if (!$('operations').open || $('operate').hidden) return;
  keyed($('operate-service'), [s.name], name => name, name => {
    const button = operation('Reset the circuit', 'reset-circuit', 'Reset the circuit of ' + brief(name));
    button.onclick = () => operate('reset-circuit', name, undefined, 'Reset the circuit');
    return button;
  }, () => {});
  keyed($('operate-instances'), s.instances, i => s.name + '\n' + i.id, i => {
    const buttons = [['Disable', 'disable'], ['Drain', 'drain'], ['Enable', 'enable'], ['Reset ejection', 'reset-ejection']]
      .map(([words, action]) => {
        const button = operation(words, action, `${words} ${i.endpoint}`);
        button.onclick = () => operate(action, s.name, addressIn(i.endpoint), `${words} ${i.endpoint}`);
        return button;
      });
    return h('li', h('code', i.endpoint), h('p.buttons', ...buttons));
  }, (li, i) => {
    const [disable, drain, enable, reset] = li.lastChild.children;
    disable.disabled = i.operator === 'disabled';
    drain.disabled = i.operator?.startsWith('drain') === true;
    enable.disabled = !i.operator;
    reset.disabled = !i.ejected;
  });
}
