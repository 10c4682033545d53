// The mean of the numbers in /dataset/*.txt.
'use strict';
const fs = require('fs');
const mean = require('./lib/mean');

const files = fs.readdirSync('/dataset').filter((name) => name.endsWith('.txt')).sort();
const words = files.flatMap((name) => fs.readFileSync(`/dataset/${name}`, 'utf8').split(/\s+/)).filter(Boolean);
const result = mean(words.map(Number)).toFixed(2);
fs.writeFileSync('/output/mean.txt', `${result}\n`);
console.log(`node: ${words.length} numbers, mean ${result}`);
