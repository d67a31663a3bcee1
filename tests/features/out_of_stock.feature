Feature: Running out of stock
  The shop never sells a unit twice, and never charges for one that it does not have.

  Rule: An order gets all of its units or none, and pays only for all

    Background:
      Given the shop has 5 fountain pens at 12.50 EUR each
      And the shop has 1 bottle of ink at 3.00 EUR each

    Scenario: One of two products is short
      Given a customer has ordered 2 fountain pens and 2 bottles of ink
      When she pays
      Then her order has failed: out of stock
      And her card has not been charged
      And 5 fountain pens are left
      And 1 bottle of ink is left

    Scenario: She may pay once the shelf is full again
      Given a customer has ordered 2 bottles of ink
      And she has paid
      And the shop has received 4 bottles of ink
      When she pays
      Then her order is paid
      And her card has been charged 6.00 EUR
      And 3 bottles of ink are left

  Rule: When more people want a unit than there are units, each unit is sold once

    Scenario: Eight customers and five pens
      Given the shop has 5 signed pens at 99.00 EUR each
      When 8 customers order and pay for 1 signed pen each, all at once
      Then 5 of them have paid for their orders
      And 3 of them have been told: out of stock
      And 0 signed pens are left
