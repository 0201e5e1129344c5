"""A checker of the accessibility rules that matter for a report, as a function body for tests.fakes.browser.visit.

It looks at what the browser made of the page: names and roles, heading order, table headers, ids, references, focus, and the contrast
of every visible piece of text with what lies behind it (WCAG 2.2: 4.5 : 1, or 3 : 1 from 24 px on, or bold from 18.7 px on).
"""

CHECK = r"""
const found = [];
const say = (rule, element, words = '') => found.push(`${rule}: ${element.outerHTML.slice(0, 120)} ${words}`);
const all = (query, root = document) => [...root.querySelectorAll(query)];
const shown = (element) => element.checkVisibility({checkOpacity: true, checkVisibilityCSS: true});
const named = (element) => (element.getAttribute('aria-label') || element.textContent.trim() || element.title || element.alt
    || (element.labels && element.labels.length && element.labels[0].textContent.trim())
    || (element.getAttribute('aria-labelledby') || '').split(' ').filter(Boolean).map((id) => document.getElementById(id)?.textContent).join(''));

if (!document.documentElement.lang) say('lang', document.documentElement);
if (!document.title.trim()) say('title', document.head);
if (all('main').length !== 1) say('one main', document.body);
if (all('h1').length !== 1) say('one h1', document.body);

const ids = new Map();
all('[id]').forEach((element) => { if (ids.has(element.id)) say('id twice', element); ids.set(element.id, element); });
all('[aria-labelledby], [aria-describedby], [aria-controls], label[for]').forEach((element) => {
  for (const name of ['aria-labelledby', 'aria-describedby', 'aria-controls', 'for']) {
    for (const id of (element.getAttribute(name) || '').split(' ').filter(Boolean)) if (!ids.has(id)) say('no such id', element, id);
  }
});
all('a[href^="#"]').forEach((link) => { if (!ids.has(link.getAttribute('href').slice(1))) say('link to nowhere', link); });

let level = 0;
all('h1, h2, h3, h4, h5, h6').forEach((heading) => {
  const next = Number(heading.tagName[1]);
  if (next > level + 1) say('heading skipped', heading);
  if (!heading.textContent.trim()) say('empty heading', heading);
  level = next;
});

all('button, a[href], input, select, textarea, summary, [role="img"], [role="region"], [role="group"], nav, section, img').forEach((element) => {
  if (element.getAttribute('aria-hidden') === 'true' || element.closest('[aria-hidden="true"]')) return;
  if (element.tagName === 'IMG' ? element.getAttribute('alt') === null : !named(element)) say('no name', element);
});
const roles = new Set('img group region status presentation note button link navigation main banner contentinfo search list listitem alert dialog row cell table'.split(' '));
all('[role]').forEach((element) => { if (!roles.has(element.getAttribute('role'))) say('unknown role', element); });
const attributes = new Set('label labelledby describedby hidden live sort pressed controls expanded current selected checked valuenow valuemin valuemax'.split(' '));
all('*').forEach((element) => {
  for (const {name} of element.attributes) if (name.startsWith('aria-') && !attributes.has(name.slice(5))) say('unknown aria', element, name);
});
all('[aria-hidden="true"] :is(button, a[href], input, select, [tabindex="0"])').forEach((element) => say('focus inside what is hidden', element));
all(':is(button, a[href], [role="img"], [role="button"]) :is(button, a[href], input, select, [tabindex="0"])').forEach((element) => say('control inside a control', element));
all('[tabindex]').forEach((element) => { if (element.tabIndex > 0) say('own order of focus', element); });

all('table').forEach((table) => {
  if (!all('th[scope]', table).length) say('table without headers', table);
  all('th', table).forEach((head) => { if (!head.getAttribute('scope') || !head.textContent.trim()) say('header without scope or words', head); });
});
all('ul, ol').forEach((list) => { if ([...list.children].some((child) => child.tagName !== 'LI')) say('list with other children', list); });
all('dl').forEach((list) => { if (!all('dt', list).length || all('dt', list).length > all('dd', list).length) say('terms without meanings', list); });

const pen = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d', {willReadFrequently: true});
const rgba = (colour) => { pen.clearRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
const behind = (element) => {
  const layers = [];
  for (let node = element; node; node = node.parentElement) { const layer = rgba(getComputedStyle(node).backgroundColor); if (layer[3]) layers.push(layer); if (layer[3] === 1) break; }
  return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255, 1]);
};
const light = (colour) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => { const c = colour[i] / 255; return sum + weight * (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4); }, 0);
const contrast = (a, b) => { const [x, y] = [light(a), light(b)]; return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05); };
let texts = 0, lowest = 21;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || element.closest('script, style, .skip, option') || !shown(element)) continue;
  const style = getComputedStyle(element);
  const under = behind(element);
  const ink = over(rgba(element.closest('svg') ? style.fill : style.color), under);
  const size = parseFloat(style.fontSize);
  const wanted = size >= 24 || (size >= 18.7 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
  const value = contrast(ink, under);
  texts += 1; lowest = Math.min(lowest, value);
  if (value < wanted) say('contrast', element, value.toFixed(2));
}
return {found, texts, lowest};
"""
